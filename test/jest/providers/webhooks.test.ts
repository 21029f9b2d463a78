import { randomBytes } from "node:crypto";
import { request } from "node:http";
import { gzipSync } from "node:zlib";
import { afterAll, beforeEach, describe, expect, test } from "@jest/globals";
import Stripe from "stripe";
import type { PaymentId } from "../../../src/payments/settle.ts";
import { makeFindPaymentProvider } from "../../../src/providers/payments/registry.ts";
import { startSimulatedPaymentProvider } from "../../../src/providers/payments/simulated/server.ts";
import { newId } from "../../../src/random.ts";
import { signedHeaders } from "../../../src/webhooks/signature.ts";
import { fieldKeys } from "../../support/field_keys.ts";
import { queuedJobs, runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { findViolations } from "../../support/ledger.ts";
import {
  addPayment,
  deadLetters,
  makeSettlementBooks,
  type SettlementBooks,
  standing,
} from "../../support/settlement.ts";
import { bootApi } from "../api/_api.ts";

/* Messages of providers over HTTP: whose they are, what becomes of them, and those who only pretend. */
const api = await bootApi();
const { db } = api;
const owner = db.pool("owner");
const worker = workerPool(db);
const apiKey = "the-key-that-the-simulated-provider-asks-for";
const newSecret = (): string => `whsec_${randomBytes(32).toString("base64")}`;
const secrets = { sim: newSecret(), card: "whsec_a_secret_as_stripe_shows_it" };
const base = new URL(api.url).origin;
const simulated = await startSimulatedPaymentProvider({ port: 0, secret: apiKey, webhookSecret: secrets.sim });
afterAll(() => simulated.stop());
const config = taskConfig({ TALLYSTICK_SIMULATED_PROVIDER_URL: simulated.url });
const findProvider = makeFindPaymentProvider({
  config,
  keys: fieldKeys("test"),
  query: (text, values) => worker.query(text, values),
});

let books: SettlementBooks;
let slug: string;

async function setSecret(tenant: number, providerCode: string, kind: string, value: string, overlap?: number) {
  return api.ask(
    `mutation ($input: SetPaymentProviderSecretInput!) {
      setPaymentProviderSecret(input: $input) { paymentProvider { code kind } } }`,
    { input: { providerCode, kind, value, overlapSeconds: overlap } },
    { tenant, role: "admin" },
  );
}

async function makeBooks(): Promise<SettlementBooks> {
  const made = await makeSettlementBooks(owner, ["sim", "card"]);
  await owner.query("alter table app_public.payment_providers disable trigger user");
  await owner.query("update app_public.payment_providers set kind = 'stripe' where code = 'card'");
  await owner.query("alter table app_public.payment_providers enable trigger user");
  return made;
}

async function slugOf(tenantId: number): Promise<string> {
  const { rows } = await owner.query<{ slug: string }>("select slug from app_public.tenants where id = $1", [tenantId]);
  return rows[0]?.slug ?? "";
}

beforeEach(async () => {
  await worker.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs");
  books = await makeBooks();
  slug = await slugOf(books.tenantId);
  for (const [code, secret] of Object.entries(secrets)) {
    const { data } = await setSecret(books.tenantId, code, "WEBHOOK", secret);
    expect(data.setPaymentProviderSecret.paymentProvider.code).toBe(code);
  }
  await setSecret(books.tenantId, "sim", "API_KEY", apiKey);
  simulated.setWebhookUrl(`${base}/api/v1/webhooks/payments/${slug}/sim`);
  simulated.setFaults({ settleMs: 0, nextMessages: [], next: [] });
});

const post = async (path: string, body: string | Buffer, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${base}/api/v1/webhooks/payments/${path}`, {
    method: "POST",
    body: typeof body === "string" ? body : new Uint8Array(body),
    headers,
  });

/** A message of the simulated provider about a payment. */
function newsOf({ paymentId }: PaymentId, changes: object = {}): string {
  const data = {
    id: `simpay_${paymentId}`,
    reference: paymentId,
    state: "settled",
    amount: "100",
    currency: "USD",
    ...changes,
  };
  return JSON.stringify({ type: "payment", timestamp: new Date().toISOString(), data });
}

const signed = (body: string, { id = newId(), secret = secrets.sim, at = Date.now() } = {}): Record<string, string> =>
  signedHeaders({ id, body }, [secret], at);

async function messages(): Promise<{ news: unknown; processed: boolean; unmatched: boolean }[]> {
  const { rows } = await owner.query(
    `select news, processed_at is not null as processed, is_unmatched as unmatched
     from app_private.provider_messages where tenant_id = $1 order by id`,
    [books.tenantId],
  );
  return rows;
}

const addJobFunction = "app_jobs.add_job(text, jsonb, text, timestamptz, integer, integer)";
const run = (): Promise<void> => runDueJobs(worker, config, findProvider);

/** A payment that was handed to the provider, and waits for what it says. */
async function submitted(): Promise<PaymentId> {
  simulated.setFaults({ settleMs: 86_000_000 });
  const id = await addPayment(owner, books, { provider: "sim" });
  await run();
  expect(await standing(owner, id)).toBe("submitted: sim accepted");
  await worker.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs");
  await owner.query("delete from app_private.provider_messages");
  return id;
}

const referenceAt = async ({ tenantId, paymentId }: PaymentId): Promise<string> => {
  const { rows } = await owner.query<{ reference: string }>(
    "select provider_reference as reference from app_public.payments where tenant_id = $1 and id = $2",
    [tenantId, paymentId],
  );
  return rows[0]?.reference ?? "";
};

describe("a message of the provider", () => {
  test("moves its payment, by the provider itself and from end to end", async () => {
    simulated.setFaults({ settleMs: 50 });
    const id = await addPayment(owner, books, { provider: "sim" });
    await run();
    for (let n = 0; n < 100 && !(await standing(owner, id)).startsWith("settled"); n += 1) {
      await new Promise((resolve) => setTimeout(resolve, 30));
      await run();
    }
    expect(await standing(owner, id)).toBe("settled: sim settled");
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });

  test("counts once, however often and at however many doors it comes", async () => {
    const id = await submitted();
    const body = newsOf(id, { id: await referenceAt(id) });
    const headers = signed(body);
    const answers = await Promise.all(Array.from({ length: 8 }, () => post(`${slug}/sim`, body, headers)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 202));
    expect(await messages()).toHaveLength(1);
    expect((await queuedJobs(worker)).map(({ task }) => task)).toEqual(["providers/process_message"]);
    await run();
    expect(await standing(owner, id)).toBe("settled: sim settled");
    await post(`${slug}/sim`, body, headers);
    expect(await queuedJobs(worker)).toEqual([]);
    const { rows } = await worker.query<{ did: boolean }>(
      "select app_private.process_provider_message($1, $2) as did",
      [books.tenantId, (await owner.query("select id from app_private.provider_messages")).rows[0]?.id],
    );
    expect(rows[0]?.did).toBe(false);
  });

  test("may come in any order, and late", async () => {
    const id = await submitted();
    const reference = await referenceAt(id);
    for (const state of ["returned", "settled", "submitted", "settled"]) {
      const body = newsOf(id, { id: reference, state });
      expect((await post(`${slug}/sim`, body, signed(body))).status).toBe(202);
      await run();
    }
    expect(await standing(owner, id)).toMatch(/^returned/);
    expect(await deadLetters(owner, books.tenantId)).toEqual([]);
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });

  test("about another amount settles nothing", async () => {
    const id = await submitted();
    const body = newsOf(id, { id: await referenceAt(id), amount: "99" });
    await post(`${slug}/sim`, body, signed(body));
    await run();
    expect(await standing(owner, id)).toMatch(/^submitted/);
    expect(await deadLetters(owner, books.tenantId)).toEqual(["payment wrong_amount"]);
  });

  test("about a payment that nobody knows is kept, and told in the stream", async () => {
    const body = newsOf({ tenantId: books.tenantId, paymentId: newId() });
    expect((await post(`${slug}/sim`, body, signed(body))).status).toBe(202);
    await run();
    expect(await messages()).toMatchObject([{ processed: true, unmatched: true }]);
    const { rows } = await owner.query("select kind from app_private.outbox where tenant_id = $1", [books.tenantId]);
    expect(rows.map(({ kind }) => kind)).toContain("provider_message.unmatched");
  });

  test("about a payment of another tenant finds none", async () => {
    const id = await submitted();
    const stranger = await makeBooks();
    await setSecret(stranger.tenantId, "sim", "WEBHOOK", secrets.sim);
    const body = newsOf(id);
    expect((await post(`${await slugOf(stranger.tenantId)}/sim`, body, signed(body))).status).toBe(202);
    await run();
    expect(await standing(owner, id)).toMatch(/^submitted/);
  });

  test("in the name of another provider of the tenant moves nothing", async () => {
    const id = await submitted();
    const event = { id: "evt_1", object: "event", type: "payout.paid", created: 1, data: { object: {} } };
    const object = { id: "po_1", object: "payout", status: "paid", amount: 100, currency: "usd" };
    const metadata = { tallystick_reference: id.paymentId, tallystick_exponent: "2" };
    const body = JSON.stringify({ ...event, data: { object: { ...object, metadata } } });
    const header = Stripe.webhooks.generateTestHeaderString({ payload: body, secret: secrets.card });
    expect((await post(`${slug}/card`, body, { "stripe-signature": header })).status).toBe(202);
    await run();
    expect(await standing(owner, id)).toMatch(/^submitted/);
    expect(await deadLetters(owner, books.tenantId)).toEqual(["payment wrong_provider"]);
  });

  test("about something else is answered, and forgotten", async () => {
    const body = JSON.stringify({ type: "balance.updated" });
    expect((await post(`${slug}/sim`, body, signed(body))).status).toBe(202);
    expect(await messages()).toEqual([]);
  });

  test("is taken with its job or not at all", async () => {
    const id = await submitted();
    const body = newsOf(id, { id: await referenceAt(id) });
    const superuser = db.pool("superuser");
    await superuser.query(`revoke execute on function ${addJobFunction} from tallystick_owner`);
    const headers = signed(body);
    expect((await post(`${slug}/sim`, body, headers)).status).toBe(500);
    expect(await messages()).toEqual([]);
    await superuser.query(`grant execute on function ${addJobFunction} to tallystick_owner`);
    expect((await post(`${slug}/sim`, body, headers)).status).toBe(202);
    expect(await messages()).toHaveLength(1);
  });
});

describe("a message that is not the provider's", () => {
  const unsigned = { id: "msg_1" };

  test("is refused, and leaves a security event", async () => {
    const body = newsOf(await submitted());
    const good = signed(body);
    const now = Date.now();
    const cases: [string, string, string | Buffer, Record<string, string>][] = [
      ["unsigned", `${slug}/sim`, body, {}],
      ["signed by nobody we know", `${slug}/sim`, body, signed(body, { secret: newSecret() })],
      ["old", `${slug}/sim`, body, signed(body, { at: now - 301_000 })],
      ["of the future", `${slug}/sim`, body, signed(body, { at: now + 305_000 })],
      ["altered", `${slug}/sim`, body.replace('"100"', '"900"'), good],
      ["with the id of another message", `${slug}/sim`, body, { ...good, "webhook-id": "msg_other" }],
      ["with another time", `${slug}/sim`, body, { ...good, "webhook-timestamp": String(Math.floor(now / 1000) + 7) }],
      ["of a provider that there is not", `${slug}/none`, body, good],
      ["of a tenant that there is not", "nobody/sim", body, good],
      ["for another provider of the tenant", `${slug}/card`, body, good],
      ["empty", `${slug}/sim`, "", good],
      ["with a character that the database does not take", `${slug}%00/sim`, body, good],
      ["with a name that is no name", `${slug}/..%2f..%2fsim`, body, good],
    ];
    const told = new Set<string>();
    for (const [what, path, text, headers] of cases) {
      const answer = await post(path, text, headers);
      expect([what, answer.status]).toEqual([what, 401]);
      const answered = await answer.text();
      expect(JSON.parse(answered)).toMatchObject({ errors: [{ extensions: { code: "LG681" } }] });
      told.add(answered);
    }
    // Nobody learns which of them was nearest.
    expect(told.size).toBe(1);
    expect(await messages()).toEqual([]);
    for (let n = 0; n < 60; n += 1) {
      const { rows } = await owner.query(
        "select from app_private.security_events where kind = 'provider_signature_refused'",
      );
      if (rows.length > 0) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error("There is no security event.");
  });

  test("signed with the secret of another tenant is refused", async () => {
    const id = await submitted();
    const stranger = await makeBooks();
    const other = newSecret();
    await setSecret(stranger.tenantId, "sim", "WEBHOOK", other);
    const body = newsOf(id);
    expect((await post(`${slug}/sim`, body, signed(body, { secret: other }))).status).toBe(401);
  });

  test("too large, compressed or of another method is not even read", async () => {
    const body = newsOf({ tenantId: 1, paymentId: newId() });
    const huge = JSON.stringify({ ...unsigned, filler: "x".repeat(300_000) });
    const tooLarge = await post(`${slug}/sim`, huge, signed(huge));
    expect([tooLarge.status, await tooLarge.json()]).toMatchObject([
      413,
      { errors: [{ extensions: { code: "LG164", detail: { maximum: 262_144 } } }] },
    ]);
    const zipped = gzipSync(body);
    expect((await post(`${slug}/sim`, zipped, { ...signed(body), "content-encoding": "gzip" })).status).toBe(415);
    expect((await fetch(`${base}/api/v1/webhooks/payments/${slug}/sim`)).status).toBe(404);
  });

  test("that says it is large and sends nothing is not waited for with a connection of the database", async () => {
    const { port } = new URL(base);
    const options = { port, method: "POST", path: `/api/v1/webhooks/payments/${slug}/sim` };
    const hanging = request({ ...options, headers: { "content-length": "1000" } });
    hanging.on("error", () => undefined);
    hanging.flushHeaders();
    const body = newsOf({ tenantId: 1, paymentId: newId() });
    expect((await post(`${slug}/sim`, body)).status).toBe(401);
    hanging.destroy();
  });

  test("whatever type it says it has, its bytes and its signature decide", async () => {
    const id = await submitted();
    const body = newsOf(id, { id: await referenceAt(id) });
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "@"]) {
      expect((await post(`${slug}/sim`, body, { ...signed(body), "content-type": type })).status).toBe(202);
    }
    expect((await post(`${slug}/sim`, Buffer.from([0xff, 0xfe, 0x00]), signed("x"))).status).toBe(401);
  });
});

describe("secrets", () => {
  test("are changed without a gap, and the one before the last counts no more", async () => {
    const { tenantId } = books;
    const [second, third] = [newSecret(), newSecret()];
    const body = newsOf({ tenantId, paymentId: newId() });
    const status = async (secret: string): Promise<number> =>
      (await post(`${slug}/sim`, body, signed(body, { secret }))).status;
    await setSecret(tenantId, "sim", "WEBHOOK", second);
    expect([await status(secrets.sim), await status(second)]).toEqual([202, 202]);
    await setSecret(tenantId, "sim", "WEBHOOK", third);
    expect([await status(secrets.sim), await status(second), await status(third)]).toEqual([401, 202, 202]);
    await setSecret(tenantId, "sim", "WEBHOOK", newSecret(), 0);
    expect([await status(second), await status(third)]).toEqual([401, 401]);
  });

  test("are nowhere in clear, and setting one is a security event", async () => {
    const { rows } = await owner.query<{ secret_ciphertext: Buffer; kind: string }>(
      "select kind, secret_ciphertext from app_private.payment_provider_secrets where tenant_id = $1",
      [books.tenantId],
    );
    expect(rows).toHaveLength(3);
    for (const row of rows) expect(row.secret_ciphertext.toString("latin1")).not.toContain(apiKey);
    const trail = await owner.query<{ text: string }>(
      `select string_agg(after::text, ' ') as text from app_private.audit_entries
       where table_name = 'payment_provider_secrets'`,
    );
    expect(trail.rows[0]?.text).toContain("[redacted]");
    const events = await owner.query(
      "select from app_private.security_events where tenant_id = $1 and kind = 'payment_provider_secret_set'",
      [books.tenantId],
    );
    expect(events.rowCount).toBe(3);
  });

  test.each([
    ["a provider that there is not", "none", "API_KEY", "12345678", undefined, "LG605"],
    ["too short", "sim", "API_KEY", "1234567", undefined, "LG682"],
    ["with blanks", "card", "API_KEY", "sk_test 12345", undefined, "LG682"],
    ["no secret of Standard Webhooks", "sim", "WEBHOOK", "whsec_short", undefined, "LG682"],
    ["no secret of Stripe", "card", "WEBHOOK", "12345678", undefined, "LG682"],
    ["an overlap without end", "sim", "WEBHOOK", newSecret(), 604_801, "LG726"],
  ])("%s is refused", async (_what, code, kind, value, overlap, refusal) => {
    const { errors } = await setSecret(books.tenantId, code, kind, value, overlap);
    expect(errors[0]?.extensions.code).toBe(refusal);
  });

  test("old messages and secrets that ended are removed", async () => {
    await setSecret(books.tenantId, "sim", "WEBHOOK", newSecret());
    await owner.query(
      `insert into app_private.provider_messages
         (tenant_id, provider_code, message_id, news, processed_at, is_unmatched)
       select $1, 'sim', format('%s %s', days, u), '[]', now() - make_interval(days => days), u
       from unnest(array[29, 31, 364, 366]) as days, unnest(array[false, true]) as u`,
      [books.tenantId],
    );
    await owner.query(
      `update app_private.payment_provider_secrets set expires_at = now()
       where tenant_id = $1 and expires_at is not null`,
      [books.tenantId],
    );
    await worker.query("select graphile_worker.add_job('providers/prune')");
    await run();
    const { rows } = await owner.query<{ message_id: string }>(
      "select message_id from app_private.provider_messages where tenant_id = $1 order by 1",
      [books.tenantId],
    );
    expect(rows.map(({ message_id }) => message_id)).toEqual(["29 f", "29 t", "31 t", "364 t"]);
    const left = await owner.query("select from app_private.payment_provider_secrets where tenant_id = $1", [
      books.tenantId,
    ]);
    expect(left.rowCount).toBe(3);
  });
});
