import { afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { type Client, createClient } from "graphql-ws";
import WebSocket from "ws";
import { secretKeys } from "../../../src/http/token_keys.ts";
import { signToken } from "../../../src/http/tokens.ts";
import { relayOnce } from "../../../src/relay.ts";
import { makeProvider, movePayment } from "../../support/payments.ts";
import { relayAll } from "../../support/relay.ts";
import { staff } from "../../support/session.ts";
import { bootApi, type Caller, postMutation, secret, transfer } from "./_api.ts";

const api = await bootApi();
const { books, otherBooks } = api;
const worker = api.db.pool("worker");
const clients: Client[] = [];

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.dispose()));
});

beforeAll(async () => {
  await relayAll(worker);
});

interface Closed {
  code: number;
  reason: string;
}

function connect(authorization: string | undefined): { client: Client; closed: Promise<Closed> } {
  const { promise, resolve } = Promise.withResolvers<Closed>();
  const client = createClient({
    url: api.url.replace("http", "ws"),
    webSocketImpl: WebSocket,
    ...(authorization === undefined ? {} : { connectionParams: { authorization } }),
    retryAttempts: 0,
    onNonLazyError: () => undefined,
    lazy: false,
    on: { closed: (event) => resolve(event as Closed) },
  });
  clients.push(client);
  return { client, closed: promise };
}

interface Stream {
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the shape of what it asked for.
  values: any[];
  // biome-ignore lint/suspicious/noExplicitAny: a list of GraphQL errors or a close event.
  error: any;
  ended: boolean;
}

function subscribe(caller: Caller, query: string, variables: Record<string, unknown> = {}): Stream {
  const { client } = connect(`Bearer ${api.token(caller)}`);
  return listen(client, query, variables);
}

function listen(client: Client, query: string, variables: Record<string, unknown> = {}): Stream {
  const stream: Stream = { values: [], error: undefined, ended: false };
  client.subscribe(
    { query, variables },
    {
      next: (value) => stream.values.push(value.errors ?? value.data),
      error: (error) => {
        stream.error = error;
      },
      complete: () => {
        stream.ended = true;
      },
    },
  );
  return stream;
}

const transactionPosted =
  "subscription { transactionPosted { transaction { id postings { nodes { account { code } amount } } } } }";
const balanceChanged = "subscription ($id: UUID) { balanceChanged(accountId: $id) { account { code } } }";

/**
 * Waits, while the relay runs. Once is not always enough: it stops at the oldest database transaction of the
 * whole server, and other test files share this server.
 */
async function until(condition: () => boolean, ms = 8000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error("It did not happen in time.");
    await relayAll(worker);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** LISTEN is set up after the subscription was accepted: wait until the database knows it. */
async function listening(): Promise<void> {
  await new Promise((done) => setTimeout(done, 500));
}

async function post(debit: string, credit: string, caller: Caller = {}): Promise<string> {
  const data = await api.get(postMutation, transfer(debit, credit, "11"), caller);
  return data.postTransaction.result.transactionId;
}

test("a posted transaction and the balances that it changed are told", async () => {
  const posted = subscribe({}, transactionPosted);
  const changed = subscribe({}, balanceChanged);
  const changedOne = subscribe({}, balanceChanged, { id: books.sales });
  await listening();
  const id = await post(books.cash, books.sales);
  await relayAll(worker);
  await until(() => posted.values.length === 1 && changed.values.length === 2 && changedOne.values.length === 1);
  expect(posted.values[0].transactionPosted.transaction).toEqual({
    id,
    postings: {
      nodes: [
        { account: { code: "cash" }, amount: "11" },
        { account: { code: "sales" }, amount: "11" },
      ],
    },
  });
  const codes = changed.values.map((value) => value.balanceChanged.account.code).sort();
  expect(codes).toEqual(["cash", "sales"]);
  expect(changedOne.values[0].balanceChanged.account.code).toBe("sales");
});

test("many are told in the order in which the database recorded them", async () => {
  const posted = subscribe({}, transactionPosted);
  await listening();
  const ids: string[] = [];
  for (let n = 0; n < 20; n += 1) ids.push(await post(books.cash, books.sales));
  await relayAll(worker);
  await until(() => posted.values.length === 20);
  expect(posted.values.map((value) => value.transactionPosted.transaction.id)).toEqual(ids);
});

test("a batch that is larger than a notification arrives whole, and once, with two relays at work", async () => {
  const posted = subscribe({}, "subscription { transactionPosted { transaction { id } } }");
  await listening();
  const transactions = Array.from({ length: 400 }, () => transfer(books.cash, books.sales, "1").transaction);
  const data = await api.get(
    `mutation ($t: [TransactionInput!]!) {
      postTransactions(input: { transactions: $t }) { results { transactionId } } }`,
    { t: transactions },
  );
  await Promise.all(Array.from({ length: 4 }, () => relayAll(worker)));
  await relayAll(worker);
  await until(() => posted.values.length >= 400, 8000);
  await listening();
  const told = posted.values.map((value) => value.transactionPosted.transaction.id);
  expect(told.sort()).toEqual(
    data.postTransactions.results.map((one: { transactionId: string }) => one.transactionId).sort(),
  );
});

describe("isolation", () => {
  test("other books hear nothing", async () => {
    const here = subscribe({}, transactionPosted);
    const there = subscribe({ tenant: otherBooks.tenant }, transactionPosted);
    const changedThere = subscribe({ tenant: otherBooks.tenant }, balanceChanged, { id: books.cash });
    await listening();
    await post(books.cash, books.sales);
    await relayAll(worker);
    await until(() => here.values.length === 1);
    await listening();
    expect(there.values).toEqual([]);
    expect(changedThere.values).toEqual([]);
    expect(there.error).toBeUndefined();
    const id = await post(otherBooks.cash, otherBooks.sales, { tenant: otherBooks.tenant });
    await relayAll(worker);
    await until(() => there.values.length === 1);
    expect(there.values[0].transactionPosted.transaction.id).toBe(id);
    expect(here.values.length).toBe(1);
  });

  test("a customer hears of their own account alone, and not even that there was something else", async () => {
    const caller = { role: "customer", user: books.customer } as const;
    const posted = subscribe(caller, transactionPosted);
    const changed = subscribe(caller, balanceChanged);
    await listening();
    await post(books.cash, books.sales);
    const id = await post(books.cash, books.wallet);
    await relayAll(worker);
    await until(() => posted.values.length === 1 && changed.values.length === 1);
    await listening();
    expect(posted.values).toEqual([
      {
        transactionPosted: {
          transaction: { id, postings: { nodes: [{ account: { code: "wallet" }, amount: "11" }] } },
        },
      },
    ]);
    expect(changed.values).toEqual([{ balanceChanged: { account: { code: "wallet" } } }]);
  });
});

describe("a web socket", () => {
  test.each([
    ["without a token", undefined, "LG460"],
    ["with a bad token", "Bearer nonsense", "LG460"],
    ["with an expired token", `Bearer ${token(-10)}`, "LG461"],
  ])("%s is closed with 4403", async (_name, authorization, code) => {
    const { closed } = connect(authorization);
    expect(await closed).toMatchObject({ code: 4403, reason: expect.stringContaining(code) });
  });

  test("is closed when its token expires", async () => {
    const { client, closed } = connect(`Bearer ${token(2)}`);
    const stream = listen(client, transactionPosted);
    await listening();
    await post(books.cash, books.sales);
    await relayAll(worker);
    await until(() => stream.values.length === 1);
    expect(await closed).toMatchObject({ code: 4401, reason: expect.stringContaining("LG461") });
  });

  test.each([
    ["a query", "{ accounts { nodes { id } } }"],
    ["a mutation", 'mutation { createCurrency(input: { code: "XX", exponent: 1 }) { currency { code } } }'],
    [
      "a mutation beside a subscription",
      `mutation M { createCurrency(input: { code: "XX", exponent: 1 }) { currency { code } } }
       ${transactionPosted.replace("subscription", "subscription S")}`,
    ],
  ])("does not take %s", async (_name, query) => {
    const { client } = connect(`Bearer ${api.token({})}`);
    const stream: Stream = { values: [], error: undefined, ended: false };
    client.subscribe(
      { query, ...(query.includes("mutation M") ? { operationName: "M" } : {}) },
      {
        next: (value) => stream.values.push(value),
        error: (error) => (stream.error = error),
        complete: () => (stream.ended = true),
      },
    );
    await until(() => stream.error !== undefined || stream.values.length > 0);
    expect(stream.values).toEqual([]);
    expect(stream.error[0].extensions).toMatchObject({ code: "LG463" });
    expect((await api.get('{ currency(code: "XX") { code } }')).currency).toBeNull();
  });

  test("tells errors in the same shape", async () => {
    const stream = subscribe({}, "subscription { nothing }");
    await until(() => stream.error !== undefined);
    expect(stream.error[0].extensions.code).toBe("GRAPHQL_VALIDATION_FAILED");
  });
});

test("who was away catches up by reading on from the last id, and then hears what comes", async () => {
  const first = subscribe({}, transactionPosted);
  await listening();
  const last = await post(books.cash, books.sales);
  await relayAll(worker);
  await until(() => first.values.length === 1);
  await Promise.all(clients.splice(0).map((client) => client.dispose()));
  const missed = [await post(books.cash, books.sales), await post(books.cash, books.sales)];
  await relayAll(worker);

  const again = subscribe({}, transactionPosted);
  await listening();
  const { transactions } = await api.get(
    "query ($last: UUID!) { transactions(filter: { id: { greaterThan: $last } }, orderBy: [ID_ASC]) { nodes { id } } }",
    { last },
  );
  expect(transactions.nodes.map((node: { id: string }) => node.id)).toEqual(missed);
  const next = await post(books.cash, books.sales);
  await relayAll(worker);
  await until(() => again.values.length === 1);
  expect(again.values[0].transactionPosted.transaction.id).toBe(next);
});

test("a transaction that commits late is told, and none is told before it is settled", async () => {
  const posted = subscribe({}, transactionPosted);
  await listening();
  await api.db.withClient("owner", async (client) => {
    await client.query("begin");
    const { rows } = await client.query<{ id: string }>(
      `select (app_private.post_batch(app_private.system_actor($1), array[row('posted', array[
         row($2, 'debit', 3)::app_public.posting_input, row($3, 'credit', 3)::app_public.posting_input
       ], null, null, null, null, null, null, null, null)::app_public.transaction_input], 'atomic'))[1].transaction_id
         as id`,
      [otherBooks.tenant, otherBooks.cash, otherBooks.sales],
    );
    expect(rows[0]?.id).toBeDefined();
    const later = await post(books.cash, books.sales);
    await relayOnce(worker);
    await listening();
    expect(posted.values).toEqual([]);
    await client.query("commit");
    await relayAll(worker);
    await until(() => posted.values.length === 1);
    expect(posted.values[0].transactionPosted.transaction.id).toBe(later);
  });
});

function token(expiresInSeconds: number): string {
  return signToken({
    keys: secretKeys(secret),
    tenantId: books.tenant,
    role: "admin",
    userId: staff,
    sessionId: staff,
    expiresInSeconds,
  });
}

test("a payment that moves is told to those who see it, as it stands", async () => {
  const paymentMoved = "subscription ($id: UUID) { paymentMoved(paymentId: $id) { payment { id status } } }";
  const owner = api.db.pool("owner");
  await makeProvider(owner, books.tenant);
  const input = { kind: "PAY_IN", accountId: books.wallet, amount: "11" };
  const create =
    "mutation ($payment: PaymentInput!) { createPayment(input: { payment: $payment }) { payment { id } } }";
  const before = (await api.get(create, { payment: input })).createPayment.payment.id;
  await relayAll(worker);
  const all = subscribe({}, paymentMoved);
  const one = subscribe({}, paymentMoved, { id: before });
  const own = subscribe({ role: "customer", user: books.customer }, paymentMoved);
  const strangers = subscribe({ role: "customer", user: crypto.randomUUID() }, paymentMoved);
  const others = subscribe({ tenant: otherBooks.tenant }, paymentMoved);
  await listening();
  await movePayment(owner, books.tenant, before, "settle");
  await until(() => [all, one, own].every(({ values }) => values.length > 0));
  const settled = { paymentMoved: { payment: { id: before, status: "SETTLED" } } };
  expect([all, one, own].map(({ values }) => values)).toEqual([[settled], [settled], [settled]]);
  const after = (await api.get(create, { payment: input })).createPayment.payment.id;
  await until(() => [all, own].every(({ values }) => values.length > 1));
  const reserved = { paymentMoved: { payment: { id: after, status: "RESERVED" } } };
  expect([all.values.at(-1), own.values.at(-1)]).toEqual([reserved, reserved]);
  expect([one.values.length, strangers.values, others.values]).toEqual([1, [], []]);
});
