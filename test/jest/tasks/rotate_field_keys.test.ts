import { beforeEach, describe, expect, test } from "@jest/globals";
import { decryptField } from "../../../src/crypto/fields.ts";
import { type RotationQueries, readKeyUse, rotateFieldKeys } from "../../../src/crypto/rotate.ts";
import { openUserEmail, sealUserEmail, userEmailIndex } from "../../../src/crypto/user_contacts.ts";
import { openReference } from "../../../src/customers/evidence.ts";
import { addContacts, type Contact, readContacts } from "../../support/contacts.ts";
import { addCustomer, customerSecrets, evidenceReference } from "../../support/customers.ts";
import { fieldKeySetting, fieldKeys } from "../../support/field_keys.ts";
import { addJob, queuedJobs, runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { openTenant } from "../../support/ledger.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { startCli } from "../cli/run_cli.ts";

/* The rotation of field keys: as the job of the worker, as the command, and killed anywhere. */
const task = "identity/rotate_field_keys";
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
const asWorker = worker.query.bind(worker) as unknown as RotationQueries;

const oldKeys = fieldKeys("k1");
const newKeys = fieldKeys("k2", "k1");
const onlyNewKeys = fieldKeys("k2");

let contacts: Contact[];
let ids: string[];

async function keysInUse(): Promise<Record<string, number>> {
  const uses = await readKeyUse(asWorker);
  const total = (keyId: string): number =>
    uses.filter((use) => use.keyId === keyId).reduce((sum, use) => sum + use.count, 0);
  return Object.fromEntries([...new Set(uses.map(({ keyId }) => keyId))].map((keyId) => [keyId, total(keyId)]));
}

async function fill(count: number): Promise<void> {
  contacts = await addContacts(owner, oldKeys, count);
  ids = contacts.map(({ userId }) => userId);
}

beforeEach(async () => {
  await owner.query("delete from app_private.user_contacts");
});

/** After a rotation: everything is as it was, and the old key is not needed any more. */
async function expectRotated(): Promise<void> {
  expect(await keysInUse()).toEqual({ k2: contacts.length * 2 });
  expect(await readContacts(owner, onlyNewKeys, ids)).toEqual(contacts);
}

describe("the job", () => {
  test("encrypts everything with the current key, and look-ups go on", async () => {
    await fill(25);
    await addJob(worker, task);
    await runDueJobs(worker, taskConfig({ TALLYSTICK_FIELD_KEYS: fieldKeySetting("k2", "k1") }));
    expect(await queuedJobs(worker)).toEqual([]);
    await expectRotated();
    const { rows } = await owner.query("select app_private.user_id_by_email($1) as id", [
      await userEmailIndex(onlyNewKeys, " USER.7@example.com"),
    ]);
    expect(rows).toEqual([{ id: ids[7] }]);
  });

  test("leaves what does not decrypt, tells where it is, and goes on with the rest", async () => {
    await fill(5);
    const [moved = "", source = ""] = ids;
    await owner.query(
      `update app_private.user_contacts c set phone_ciphertext = s.phone_ciphertext
       from app_private.user_contacts s where s.user_id = $1 and c.user_id = $2`,
      [source, moved],
    );
    await addJob(worker, task);
    await runDueJobs(worker, taskConfig({ TALLYSTICK_FIELD_KEYS: fieldKeySetting("k2", "k1") }));
    expect(await keysInUse()).toEqual({ k1: 1, k2: 9 });
    const jobs = await queuedJobs(worker);
    expect(jobs.map(({ lastError }) => lastError)).toEqual([
      expect.stringContaining(`app_private.user_contacts, row ${moved}: A value of app_private.user_contacts.phone`),
    ]);
    expect(jobs[0]?.lastError).not.toContain("+49");
    await worker.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs");
  });

  test("does nothing while the key is the same", async () => {
    await fill(3);
    const before = await owner.query("select * from app_private.user_contacts order by user_id");
    expect(await rotateFieldKeys({ keys: oldKeys, query: asWorker })).toEqual({ rotated: 0, failures: [] });
    expect((await owner.query("select * from app_private.user_contacts order by user_id")).rows).toEqual(before.rows);
  });
});

describe("killed", () => {
  /** A connection that dies at its n-th statement: before the database saw it, or before we saw the answer. */
  function dyingQueries(deaths: number, when: "before" | "after"): RotationQueries {
    let left = deaths;
    return async (text, values) => {
      left -= 1;
      if (left === 0 && when === "before") throw new Error("killed");
      const result = await asWorker(text, values);
      if (left === 0) throw new Error("killed");
      return result as never;
    };
  }

  test.each(["before", "after"] as const)("%s any statement: the next run goes on", async (when) => {
    await fill(12);
    const ends: string[] = [];
    const seen = new Set<number>();
    for (let deaths = 1; ends.at(-1) !== "done"; deaths += 1) {
      // Each attempt begins with the old key again, so that every statement is reached.
      await owner.query("delete from app_private.user_contacts");
      await fill(12);
      const end = await rotateFieldKeys({ keys: newKeys, query: dyingQueries(deaths, when), batchSize: 3 }).then(
        () => "done",
        (error: Error) => error.message,
      );
      ends.push(end);
      seen.add((await keysInUse())["k2"] ?? 0);
      expect(await readContacts(owner, newKeys, ids)).toEqual(contacts);
      await rotateFieldKeys({ keys: newKeys, query: asWorker, batchSize: 3 });
      await expectRotated();
    }
    // One for the registry, four batches of two statements for two columns, and for each the one that finds no more.
    const { rows: columns } = await asWorker("select from app_private.ciphertext_columns()");
    expect(ends).toHaveLength(1 + 2 * 4 * 2 + columns.length + 1);
    expect([...seen].sort((a, b) => a - b)).toEqual([0, 3, 6, 9, 12, 15, 18, 21, 24]);
  });

  test("by the operating system, many times, as the command: it goes on, and ends", async () => {
    await fill(4000);
    const environment = { DATABASE_URL: db.urls.owner, TALLYSTICK_FIELD_KEYS: fieldKeySetting("k2", "k1") };
    let last = 0;
    for (let kill = 1; kill <= 5; kill += 1) {
      const { child, result } = startCli(["keys", "rotate"], environment);
      // As soon as it has told of some progress.
      let told = 0;
      child.stderr?.on("data", () => {
        told += 1;
        if (told === kill) child.kill("SIGKILL");
      });
      await result;
      const rotated = (await keysInUse())["k2"] ?? 0;
      expect(rotated).toBeGreaterThan(last);
      last = rotated;
    }
    expect(await readContacts(owner, newKeys, ids)).toEqual(contacts);
    const { result } = startCli(["keys", "rotate"], environment);
    expect(await result).toMatchObject({ status: 0, stdout: expect.stringMatching(/^Encrypted [\d,]+ values anew/) });
    await expectRotated();
    const status = await startCli(["keys", "status"], environment).result;
    expect(status.stdout).toMatch(/app_private\.user_contacts +email_ciphertext +k2 +4000 +current/);
  }, 60_000);
});

test("every encrypted column is reached, whatever table it is in", async () => {
  await fill(1);
  const tenantId = await openTenant(owner);
  const { userId, evidenceId } = await addCustomer(owner, oldKeys, tenantId);
  const uses = await readKeyUse(asWorker);
  const result = await rotateFieldKeys({ keys: newKeys, query: asWorker });
  expect(uses.length).toBeGreaterThan(6);
  expect(result).toEqual({ rotated: uses.length, failures: [] });
  expect(await keysInUse()).toEqual({ k2: uses.length });
  const { rows } = await owner.query<{ phone: Buffer; reference: Buffer }>(
    `select d.phone_ciphertext as phone, e.reference_ciphertext as reference
     from app_hidden.customer_details d, app_public.kyc_evidence e where d.user_id = $1 and e.id = $2`,
    [userId, evidenceId],
  );
  const { phone, reference } = rows[0] ?? { phone: Buffer.alloc(0), reference: Buffer.alloc(0) };
  expect(await openReference(onlyNewKeys, { tenantId, id: evidenceId }, reference)).toBe(evidenceReference);
  const place = { tenantId, table: "app_hidden.customer_details", column: "phone_ciphertext", row: userId };
  expect(await decryptField(onlyNewKeys, place, phone)).toBe(customerSecrets.phone);
  // So that the tests below begin with nothing: evidence is not removed otherwise.
  await owner.query("alter table app_public.kyc_evidence disable trigger _200_refuse_change");
  await owner.query("delete from app_public.kyc_evidence; delete from app_hidden.customer_details");
});

test("what the API writes meanwhile is never overwritten", async () => {
  await fill(40);
  const [first = "", second = ""] = ids;
  const write = async (userId: string, email: string): Promise<void> => {
    const { ciphertext, index } = await sealUserEmail(oldKeys, userId, email);
    await owner.query("select app_private.set_user_email($1, $2, $3)", [userId, ciphertext, index]);
  };
  let writes = 0;
  // Between the moment the values were read and the moment they are written back.
  const interrupted: RotationQueries = async (text, values) => {
    if (text.includes("replace_ciphertexts")) {
      writes += 1;
      await write(first, `changed.${writes}@example.com`);
      await write(second, `changed.too.${writes}@example.com`);
    }
    return (await asWorker(text, values)) as never;
  };
  const { rotated } = await rotateFieldKeys({ keys: newKeys, query: interrupted, batchSize: 7 });
  expect(rotated).toBe(80 - 2);
  const [one, two] = await readContacts(owner, newKeys, [first, second]);
  expect([one?.email, two?.email]).toEqual([`changed.${writes}@example.com`, `changed.too.${writes}@example.com`]);
  // They still have the old key; the next run reaches them.
  expect(await keysInUse()).toEqual({ k1: 2, k2: 78 });
  await rotateFieldKeys({ keys: newKeys, query: asWorker });
  expect(await keysInUse()).toEqual({ k2: 80 });
});

test("several at once, with writers between them, lose nothing", async () => {
  await fill(300);
  const latest = new Map(contacts.map(({ userId, email }) => [userId, email]));
  let isOver = false;
  const writer = async (): Promise<void> => {
    for (let n = 0; !isOver; n += 1) {
      const userId = ids[(n * 7) % ids.length] ?? "";
      const email = `new.${n}@example.com`;
      const { ciphertext, index } = await sealUserEmail(n % 2 === 0 ? oldKeys : newKeys, userId, email);
      await owner.query("select app_private.set_user_email($1, $2, $3)", [userId, ciphertext, index]);
      latest.set(userId, email);
    }
  };
  const writing = writer();
  await Promise.all([1, 2, 3].map(() => rotateFieldKeys({ keys: newKeys, query: asWorker, batchSize: 10 })));
  isOver = true;
  await writing;
  await rotateFieldKeys({ keys: newKeys, query: asWorker });
  const { rows } = await owner.query<{ id: string; email: Buffer }>(
    "select user_id as id, email_ciphertext as email from app_private.user_contacts",
  );
  for (const { id, email } of rows) expect(await openUserEmail(onlyNewKeys, id, email)).toBe(latest.get(id));
});
