import { connect } from "node:net";
import { type Load, quantiles } from "./load.ts";
import type { ProcessorClock } from "./processor.ts";

/** What a connection sends next, and how many transfers that makes. */
export interface HttpRequest {
  body: string;
  transfers: number;
}

export interface HttpTarget {
  /** Of one server, or of several that connections are dealt out to. */
  urls: string[];
  headers: Record<string, string>;
  connections: number;
  next: () => HttpRequest;
  /** Throws if an answer is not what it should be. */
  check: (body: string) => void;
  /** The processor time of the database server, and of the processes that answer. */
  clock: ProcessorClock;
  apiClock: ProcessorClock;
}

/**
 * Sends requests over some connections, one after the other on each, and measures what is answered. Sockets by
 * hand, because a client library would take as much of the processor as the server.
 */
export function httpLoad(target: HttpTarget): Load {
  return async (seconds) => {
    const times: number[] = [];
    let transfers = 0;
    const [processor, api] = [await target.clock(), await target.apiClock()];
    const own = process.cpuUsage();
    const started = performance.now();
    const end = started + seconds * 1000;
    const rates = await Promise.all(
      Array.from({ length: target.connections }, async (_, n) => {
        let ofThis = 0;
        const url = target.urls[n % target.urls.length] ?? "";
        await runConnection(url, target, end, (milliseconds, made) => {
          times.push(milliseconds);
          ofThis += made;
        });
        transfers += ofThis;
        return (ofThis * 1000) / (performance.now() - started);
      }),
    );
    const elapsed = (performance.now() - started) / 1000;
    const { user, system } = process.cpuUsage(own);
    return {
      value: rates.reduce((sum, rate) => sum + rate, 0),
      ...quantiles(times),
      serverCpu: ((await target.clock()) - processor) / transfers,
      apiCpu: ((await target.apiClock()) - api) / transfers,
      clientCpu: (user + system) / 1_000_000 / elapsed,
      transfers,
    };
  };
}

function runConnection(
  url: string,
  { headers, next, check }: HttpTarget,
  end: number,
  done: (milliseconds: number, transfers: number) => void,
): Promise<void> {
  const { hostname, port, pathname } = new URL(url);
  const lines = Object.entries({ host: `${hostname}:${port}`, "content-type": "application/json", ...headers });
  const head = `POST ${pathname} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}`;
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    let received = "";
    let at = 0;
    let transfers = 0;
    let isDone = false;
    const send = (): void => {
      const request = next();
      transfers = request.transfers;
      received = "";
      at = performance.now();
      socket.write(`${head}content-length: ${Buffer.byteLength(request.body)}\r\n\r\n${request.body}`);
    };
    socket.once("connect", send);
    socket.once("error", reject);
    socket.once("close", () => {
      if (!isDone) reject(new Error("The connection was closed before the answer."));
    });
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      received += chunk;
      try {
        const body = bodyOf(received);
        if (body === undefined) return;
        done(performance.now() - at, transfers);
        check(body);
      } catch (error) {
        isDone = true;
        socket.destroy();
        return reject(error);
      }
      if (performance.now() < end) return send();
      isDone = true;
      socket.destroy();
      resolve();
    });
  });
}

/** The body of an answer that has arrived as a whole. */
function bodyOf(received: string): string | undefined {
  const start = received.indexOf("\r\n\r\n") + 4;
  if (start < 4) return undefined;
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(received.slice(0, start))?.[1] ?? Number.NaN);
  if (Number.isNaN(length)) throw new Error(`An answer without a length: ${received.slice(0, start)}`);
  return received.length - start < length ? undefined : received.slice(start, start + length);
}
