import { once } from "node:events";
import { connect } from "node:net";

/** What came back on a connection: the first answer taken apart, and whether the server ended the connection. */
export interface RawAnswer {
  status: number;
  headers: string;
  body: string;
  /** Everything, as it came. */
  text: string;
}

/** Sends bytes as they are, piece by piece, and reads until the server ends the connection or `ms` have passed. */
export async function sendRaw(
  url: string,
  pieces: readonly (string | Buffer)[],
  { ms = 2_000, pauseMs = 0 }: { ms?: number; pauseMs?: number } = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  // A server that ends the connection while we are still writing is what some tests are about.
  socket.on("error", () => undefined);
  const ended = once(socket, "close");
  const timer = setTimeout(() => socket.destroy(), ms);
  for (const piece of pieces) {
    if (!socket.destroyed) socket.write(piece);
    if (pauseMs > 0) await new Promise((done) => setTimeout(done, pauseMs));
  }
  await ended;
  clearTimeout(timer);
  const text = Buffer.concat(chunks).toString("latin1");
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const body = /^transfer-encoding: chunked/im.test(head) ? unchunk(rest.join("\r\n\r\n")) : rest.join("\r\n\r\n");
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0), headers: head, body, text };
}

function unchunk(text: string): string {
  return text.replace(/^[0-9a-f]+\r\n([\s\S]*?)\r\n0\r\n\r\n[\s\S]*$/i, "$1");
}
