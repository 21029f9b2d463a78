/** A bare HTTP server that answers with what it is sent, and asks no database. Started by bench/parts/limits.ts. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const answer = Buffer.concat(chunks);
    response.writeHead(200, { "content-type": "application/json", "content-length": answer.length });
    response.end(answer);
  });
});
server.listen(0, "127.0.0.1", () => {
  process.stderr.write(`API http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql\n`);
});
