import { expect, test } from "@jest/globals";
import { pino } from "pino";
import { relayOnce, startRelay } from "../../../src/relay.ts";
import { openAccounts, openTenant, postOne, transfer } from "../../support/ledger.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { randomNumbers } from "../concurrency/crowd.ts";

/* What subscribers are told, straight from the notifications; the API is tested in api/subscriptions.test.ts. */
const db = await createTestDatabase();
const writers = 12;
const owner = db.pool("owner", { max: writers });
const [relay, otherRelay] = [db.pool("worker"), db.pool("worker")];

/** Waits until it holds; the test then says what is missing if it never does. */
async function until(condition: () => boolean, ms = 10_000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition() && Date.now() < end) await new Promise((done) => setTimeout(done, 20));
}

test("two relays tell every transaction once, however late and in whatever order they commit", async () => {
  const tenants = [await openTenant(owner), await openTenant(owner)];
  const accounts: string[][] = [];
  for (const tenantId of tenants) accounts.push(await openAccounts(owner, tenantId, 2 * writers));
  const told: string[] = [];
  const posted: string[] = [];
  await db.withClient("worker", async (listener) => {
    listener.on("notification", ({ payload = "" }) => told.push(...(JSON.parse(payload) as { ids: string[] }).ids));
    for (const tenantId of tenants) await listener.query(`listen "tallystick:${tenantId}:transactions"`);
    const log = pino({ level: "silent" });
    const parts = [relay, otherRelay].map((pool) => startRelay({ pool, log, idleMs: 2 }));
    const write = async (number: number): Promise<void> => {
      const random = randomNumbers(number);
      const client = await owner.connect();
      try {
        for (let round = 0; round < 20; round += 1) {
          const [tenantId = 0, ids = []] = [tenants[round % 2], accounts[round % 2]];
          const item = { postings: transfer(ids[2 * number] ?? "", ids[2 * number + 1] ?? "", 1) };
          // The id of the database transaction is given out at the first post, and its commit comes late.
          await client.query("begin");
          for (let n = 0; n < 2; n += 1) {
            posted.push(String((await postOne(client, tenantId, item)).transactionId));
            await client.query("select pg_sleep($1)", [random(30) / 1000]);
          }
          await client.query("commit");
        }
      } finally {
        client.release();
      }
    };
    try {
      await Promise.all(Array.from({ length: writers }, (_, number) => write(number)));
      await until(() => told.length >= posted.length);
    } finally {
      await Promise.all(parts.map((part) => part.stop()));
    }
    // What would be told twice is told by now.
    await relayOnce(relay);
    await listener.query("select 1");
  });
  expect(posted).toHaveLength(writers * 40);
  expect([...told].sort()).toEqual([...posted].sort());
});
