import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { addJob, queuedJobs, runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { mustPost, openAccounts, openTenant, transfer } from "../../support/ledger.ts";
import { horizonPassed, sealAll } from "../../support/seal.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* The job that tells the outside the heads, to a file and to a webhook that may fail. */
const task = "sealing/publish_anchors";
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
const folder = mkdtempSync(join(tmpdir(), "tallystick-anchors-"));
const file = join(folder, "anchors.jsonl");

interface Anchor {
  stream: string;
  number: number;
  blockHash: string;
  tenant: string;
}

/** The audit trail has its heads, too. */
const ofLedger = (anchors: Anchor[]): Anchor[] => anchors.filter(({ stream }) => stream === "ledger");

const posted: Anchor[][] = [];
let answer = 200;
const webhook = createServer((request, response) => {
  let body = "";
  request.setEncoding("utf8").on("data", (text: string) => {
    body += text;
  });
  request.on("end", () => {
    posted.push(ofLedger(JSON.parse(body).anchors));
    response.writeHead(answer).end();
  });
});
await new Promise<void>((done) => webhook.listen(0, "127.0.0.1", done));
const url = `http://127.0.0.1:${(webhook.address() as AddressInfo).port}/anchors`;
afterAll(() => {
  webhook.close();
  rmSync(folder, { recursive: true, force: true });
});
const toFile = { TALLYSTICK_ANCHOR_FILE: file };
const toBoth = { ...toFile, TALLYSTICK_ANCHOR_URL: url };

const tenantId = await openTenant(owner);
const [cash = "", sales = ""] = await openAccounts(owner, tenantId, 2);

/** Posts and seals, and tells the head. */
async function makeBlock(): Promise<Anchor> {
  await mustPost(owner, tenantId, { postings: transfer(cash, sales, 1) });
  await sealAll(worker);
  const { rows } = await owner.query<Anchor>(
    `select b.stream, b.number, b.block_hash as "blockHash", t.slug as tenant
     from app_public.seal_blocks b join app_public.tenants t on t.id = b.tenant_id
     where b.tenant_id = $1 and b.stream = 'ledger' order by b.number desc limit 1`,
    [tenantId],
  );
  if (!rows[0]) throw new Error("No block was made.");
  return rows[0];
}

async function publish(settings: Record<string, string>): Promise<void> {
  await addJob(worker, task);
  await runDueJobs(worker, taskConfig(settings));
}

const lines = (): Anchor[] =>
  ofLedger(
    readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Anchor),
  );

test("without a destination there is nothing to do", async () => {
  await makeBlock();
  await publish({});
  expect(existsSync(file)).toBe(false);
  expect(posted).toEqual([]);
  expect((await owner.query("select from app_private.seal_anchors")).rowCount).toBe(0);
});

test("appends each head to the file, once, and keeps what is there", async () => {
  const first = await makeBlock();
  await publish(toFile);
  await publish(toFile);
  expect(lines()).toEqual([expect.objectContaining(first)]);
  const second = await makeBlock();
  await publish(toFile);
  expect(lines()).toEqual([expect.objectContaining(first), expect.objectContaining(second)]);
});

test("a line that a crash left half written does not spoil the next", async () => {
  writeFileSync(file, '{"format": "tally');
  const head = await makeBlock();
  await publish(toFile);
  const [torn, ...whole] = readFileSync(file, "utf8").trimEnd().split("\n");
  expect(torn).toBe('{"format": "tally');
  expect(ofLedger(whole.map((line) => JSON.parse(line)))).toMatchObject([head]);
});

test("posts to the webhook, again until it is taken; the file does not wait for it", async () => {
  rmSync(file, { force: true });
  answer = 503;
  const head = await makeBlock();
  await publish(toBoth);
  expect(posted).toEqual([[expect.objectContaining(head)]]);
  expect(lines()).toEqual([expect.objectContaining(head)]);
  const [failed] = await queuedJobs(worker);
  expect(failed).toMatchObject({ task, attempts: 1, lastError: expect.stringContaining("503") });

  answer = 200;
  await worker.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs");
  await publish(toBoth);
  await publish(toBoth);
  expect(posted).toHaveLength(2);
  expect(posted[1]).toEqual(posted[0]);
  expect(lines()).toHaveLength(1);
  expect(await queuedJobs(worker)).toEqual([]);
});

test("the job that seals has the anchors published", async () => {
  const before = lines().length;
  await mustPost(owner, tenantId, { postings: transfer(cash, sales, 1) });
  await horizonPassed(worker);
  await addJob(worker, "sealing/seal_blocks");
  await runDueJobs(worker, taskConfig(toFile));
  await runDueJobs(worker, taskConfig(toFile));
  expect(lines()).toHaveLength(before + 1);
});
