import { connect } from "node:net";

export interface HttpLoad {
  url: string;
  headers: Record<string, string>;
  connections: number;
  seconds: number;
  /** The body of the next request of a connection, and the transfers that it makes. */
  next: (index: number) => { body: string; transfers: number };
  /** Throws if an answer is not what it should be. */
  check: (body: string) => void;
}

export interface HttpFigures {
  transfersPerSecond: number;
  /** Milliseconds. */
  p50: number;
  p95: number;
  p99: number;
}

/**
 * Sends requests over some connections, one after the other on each, and measures what is answered. Sockets by
 * hand, because a client library would take as much of the processor as the server.
 */
export async function loadHttp(load: HttpLoad): Promise<HttpFigures> {
  const times: number[] = [];
  let transfers = 0;
  const started = performance.now();
  const end = started + load.seconds * 1000;
  await Promise.all(
    Array.from({ length: load.connections }, (_value, index) =>
      runConnection(load, index, end, (milliseconds, made) => {
        times.push(milliseconds);
        transfers += made;
      }),
    ),
  );
  const seconds = (performance.now() - started) / 1000;
  times.sort((one, other) => one - other);
  const quantile = (share: number): number => times[Math.floor((times.length - 1) * share)] ?? Number.NaN;
  return { transfersPerSecond: transfers / seconds, p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) };
}

function runConnection(
  { url, headers, next, check }: HttpLoad,
  index: number,
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
    const send = (): void => {
      const request = next(index);
      transfers = request.transfers;
      received = "";
      at = performance.now();
      socket.write(`${head}content-length: ${Buffer.byteLength(request.body)}\r\n\r\n${request.body}`);
    };
    socket.once("connect", send);
    socket.once("error", reject);
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      received += chunk;
      const body = bodyOf(received);
      if (body === undefined) return;
      done(performance.now() - at, transfers);
      try {
        check(body);
      } catch (error) {
        socket.destroy();
        return reject(error);
      }
      if (performance.now() < end) return send();
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
