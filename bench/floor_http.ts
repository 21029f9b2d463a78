/**
 * Floor H: a bare HTTP server that calls the posting function in a database transaction, without GraphQL, without
 * looking at who asks, without limits. Started by bench/parts/graphql.ts with the URL of the database, a tenant, a user
 * and a session as arguments.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import pg from "pg";

const [databaseUrl, tenantId, userId, sessionId] = process.argv.slice(2) as [string, string, string, string];
const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 });
const settings = `
  select set_config('role', 'tallystick_teller', true), set_config('tallystick.tenant_id', $1, true),
    set_config('tallystick.user_id', $2, true), set_config('tallystick.session_id', $3, true)`;

async function post(body: string): Promise<object> {
  const { idempotencyKey, postings } = JSON.parse(body) as {
    idempotencyKey: string;
    postings: { accountId: string; direction: string; amount: string }[];
  };
  const lines = postings.map((p) => `\\"(${p.accountId},${p.direction.toLowerCase()},${p.amount})\\"`);
  const client = await pool.connect();
  try {
    await client.query("begin");
    await client.query({ name: "settings", text: settings, values: [tenantId, userId, sessionId] });
    const { rows } = await client.query<{ transaction_id: string }>({
      name: "post",
      text: "select transaction_id from app_public.post_transaction($1)",
      values: [`(posted,"{${lines.join(",")}}",${idempotencyKey},,,,,,,)`],
    });
    await client.query("commit");
    return { transactionId: rows[0]?.transaction_id };
  } catch (error) {
    await client.query("rollback");
    return { error: String(error) };
  } finally {
    client.release();
  }
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", async () => {
    const answer = JSON.stringify(await post(Buffer.concat(chunks).toString("utf8")));
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(answer) });
    response.end(answer);
  });
});
server.listen(0, "127.0.0.1", () => {
  process.stderr.write(`API http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql\n`);
});
