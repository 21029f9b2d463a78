import { beforeAll, describe, expect, test } from "@jest/globals";
import { openAccountNumber } from "../../../src/payments/counterparties.ts";
import { taskConfig } from "../../support/jobs.ts";
import { makeProvider, movePayment } from "../../support/payments.ts";
import { bootApi, type Caller, postMutation, transfer } from "./_api.ts";

/* Payments over GraphQL, as the programs and people of a tenant use them. */
const api = await bootApi();
const { books } = api;
const owner = api.db.pool("owner");
const teller: Caller = { role: "teller", user: crypto.randomUUID() };
const customer: Caller = { role: "customer", user: books.customer };
const stranger: Caller = { role: "customer", user: crypto.randomUUID() };
const otherAdmin: Caller = { tenant: api.otherBooks.tenant };

const create = /* GraphQL */ `
  mutation ($payment: PaymentInput!) {
    createPayment(input: { payment: $payment }) { payment { id status amount amountFormatted needsApproval } }
  }
`;
const read = /* GraphQL */ `
  query ($id: UUID!) {
    payment(id: $id) {
      kind status amountFormatted refundableAmount currency { code }
      debitAccount { code } creditAccount { code } counterparty { name accountHint }
      pendingTransaction { status } settlementTransaction { status postings { nodes { amount direction } } }
      moves { nodes { number fromStatus toStatus } }
      refunds { nodes { amount status } }
    }
  }
`;
const addCounterparty = /* GraphQL */ `
  mutation ($input: AddCounterpartyInput!) {
    addCounterparty(input: $input) { counterparty { id name accountHint bic country ownerId } }
  }
`;

beforeAll(async () => {
  await makeProvider(owner, books.tenant);
  await api.get(postMutation, transfer(books.cash, books.wallet, "10000"));
  await owner.query(
    `insert into app_public.role_permissions
     select $1, 'customer', p from unnest('{payments.create,counterparties.manage}'::text[]) p`,
    [books.tenant],
  );
});

async function codes(query: string, variables: object, caller: Caller = {}): Promise<string[]> {
  const { errors } = await api.ask(query, variables as Record<string, unknown>, caller);
  return errors.map(({ extensions }) => extensions.code);
}

async function createPayment(payment: object, caller: Caller = {}): Promise<string> {
  return (await api.get(create, { payment }, caller)).createPayment.payment.id;
}

test("a payment is asked for, read with all that belongs to it, and given back in part", async () => {
  const { counterparty } = (
    await api.get(addCounterparty, {
      input: { name: "Carol", account: "de89 3704 0044 0532 0130 00", bic: "COBADEFFXXX", country: "DE" },
    })
  ).addCounterparty;
  expect(counterparty).toEqual({
    id: expect.any(String),
    name: "Carol",
    accountHint: "••••3000",
    bic: "COBADEFFXXX",
    country: "DE",
    ownerId: null,
  });
  const { payment } = (
    await api.get(create, {
      payment: { kind: "PAY_IN", accountId: books.wallet, amount: "1250", counterpartyId: counterparty.id },
    })
  ).createPayment;
  expect(payment).toMatchObject({ status: "RESERVED", amount: "1250", amountFormatted: "12.50", needsApproval: false });
  await movePayment(owner, books.tenant, payment.id, "settle");
  await createPayment({ kind: "REFUND", refundOfId: payment.id, amount: "250" });
  const { rows } = await owner.query("select code from app_public.accounts where id in ($1)", [books.wallet]);
  expect((await api.get(read, { id: payment.id })).payment).toEqual({
    kind: "PAY_IN",
    status: "SETTLED",
    amountFormatted: "12.50",
    refundableAmount: "1000",
    currency: { code: "USD" },
    debitAccount: { code: expect.stringMatching(/^account/) },
    creditAccount: rows[0],
    counterparty: { name: "Carol", accountHint: "••••3000" },
    pendingTransaction: { status: "POSTED" },
    settlementTransaction: {
      status: "POSTED",
      postings: {
        nodes: expect.arrayContaining([
          { amount: "1250", direction: "DEBIT" },
          { amount: "1250", direction: "CREDIT" },
        ]),
      },
    },
    moves: {
      nodes: [
        { number: 1, fromStatus: null, toStatus: "REQUESTED" },
        { number: 2, fromStatus: "REQUESTED", toStatus: "RESERVED" },
        { number: 3, fromStatus: "RESERVED", toStatus: "SETTLED" },
      ],
    },
    refunds: { nodes: [{ amount: "250", status: "RESERVED" }] },
  });
  const provider = await api.get("query ($id: UUID!) { payment(id: $id) { provider { code kind } } }", {
    id: payment.id,
  });
  expect(provider.payment.provider).toEqual({ code: "bank", kind: "SIMULATED" });
});

test("the number of an account is stored encrypted for its counterparty, and must be right", async () => {
  const { counterparty } = (
    await api.get(addCounterparty, { input: { name: "Dave", account: "GB33BUKB20201555555555" } })
  ).addCounterparty;
  const { rows } = await owner.query<{ account_ciphertext: Buffer }>(
    "select account_ciphertext from app_private.counterparty_accounts where counterparty_id = $1",
    [counterparty.id],
  );
  const ciphertext = rows[0]?.account_ciphertext ?? Buffer.alloc(0);
  expect(ciphertext.toString("latin1")).not.toContain("BUKB");
  const of = { tenantId: books.tenant, id: counterparty.id };
  expect(await openAccountNumber(taskConfig().fieldKeys, of, ciphertext)).toBe("GB33BUKB20201555555555");
  const { errors, text } = await api.ask(addCounterparty, {
    input: { name: "Dave", account: "GB34BUKB20201555555555" },
  });
  expect(errors[0]).toMatchObject({
    message: "A fact of the counterparty does not have its form.",
    extensions: { code: "LG616", name: "invalid_counterparty", detail: { field: "account" } },
  });
  expect(text).not.toContain("BUKB");
});

test("what belongs to a payment is resolved by it alone, also where requests are posted together", async () => {
  const id = await createPayment({ kind: "PAY_OUT", accountId: books.wallet, amount: "9" });
  const { payment } = await api.get("query ($id: UUID!) { payment(id: $id) { pendingTransactionId } }", { id });
  const pendingId: string = payment.pendingTransactionId;
  const detail = { transactionId: pendingId, paymentId: id };
  const variables = { transaction: { kind: "VOID_PENDING", pendingId } };
  const others = Array.from({ length: 8 }, () => api.ask(postMutation, transfer(books.cash, books.sales, "1")));
  const [refused, ...posted] = await Promise.all([api.ask(postMutation, variables), ...others]);
  expect(refused?.errors[0]?.extensions).toMatchObject({ code: "LG610", detail });
  expect(posted.flatMap(({ errors }) => errors)).toEqual([]);
  const directly =
    "mutation ($id: UUID!) { voidPendingTransaction(input: { pendingId: $id }) { result { isReplayed } } }";
  expect(await codes(directly, { id: pendingId })).toEqual(["LG610"]);
});

describe("a customer", () => {
  test("pays from their own accounts, and sees no payment but theirs", async () => {
    const id = await createPayment({ kind: "PAY_OUT", accountId: books.wallet, amount: "5" }, customer);
    expect(await codes(create, { payment: { kind: "PAY_OUT", accountId: books.cash, amount: "5" } }, customer)).toEqual(
      ["LG301"],
    );
    const own = (await api.get(read, { id }, customer)).payment;
    // The account of the provider is none that a customer sees.
    expect(own).toMatchObject({ status: "RESERVED", debitAccount: { code: "wallet" }, creditAccount: null });
    const across = await createPayment({
      kind: "TRANSFER",
      accountId: books.cash,
      toAccountId: books.sales,
      amount: "5",
    });
    for (const [caller, ids] of [
      [customer, [across]],
      [stranger, [id, across]],
      [otherAdmin, [id, across]],
    ] as const)
      for (const one of ids) expect((await api.get(read, { id: one }, caller)).payment).toBeNull();
    const cancel = "mutation ($id: UUID!) { cancelPayment(input: { paymentId: $id }) { payment { status } } }";
    expect(await codes(cancel, { id }, stranger)).toEqual(["LG601"]);
    expect(await api.get(cancel, { id }, customer)).toEqual({ cancelPayment: { payment: { status: "CANCELLED" } } });
  });

  test("reads their payment, without what is for staff alone", async () => {
    const id = await createPayment({ kind: "PAY_OUT", accountId: books.wallet, amount: "5" }, customer);
    const query = `query ($id: UUID!) {
      payment(id: $id) { id provider { code } decision { isApproved } attempts { nodes { status } } }
    }`;
    expect(await api.get(query, { id }, customer)).toEqual({
      payment: { id, provider: null, decision: null, attempts: { nodes: [] } },
    });
  });

  test("adds counterparties of their own", async () => {
    const { counterparty } = (await api.get(addCounterparty, { input: { name: "Eve", account: "12345678" } }, customer))
      .addCounterparty;
    expect(counterparty).toMatchObject({ ownerId: books.customer, accountHint: "••••78" });
    const list = "{ counterparties { nodes { id } } }";
    expect((await api.get(list, {}, customer)).counterparties.nodes).toEqual([{ id: counterparty.id }]);
    expect((await api.get(list, {}, stranger)).counterparties.nodes).toEqual([]);
  });
});

test("a payment at the threshold waits for another person", async () => {
  await api.get(
    `mutation { setTransactionThreshold(input: { currency: "USD", approvalAmount: "3000" }) {
      transactionThreshold { approvalAmount } } }`,
  );
  const input = { payment: { kind: "PAY_OUT", accountId: books.wallet, amount: "3000" } };
  const { payment } = (await api.get(create, input, teller)).createPayment;
  expect(payment).toMatchObject({ status: "REQUESTED", needsApproval: true });
  const { payments } = await api.get(
    `{ payments(filter: { needsApproval: { equalTo: true }, status: { equalTo: REQUESTED } }) { nodes { id } } }`,
  );
  expect(payments.nodes).toEqual([{ id: payment.id }]);
  const approve = `mutation ($id: UUID!) { approvePayment(input: { paymentId: $id }) {
    payment { status decision { isApproved decider { role } } } } }`;
  expect(await codes(approve, { id: payment.id }, teller)).toEqual(["LG402"]);
  expect(await api.get(approve, { id: payment.id })).toEqual({
    approvePayment: { payment: { status: "RESERVED", decision: { isApproved: true, decider: { role: "ADMIN" } } } },
  });
  const { verifyLedger } = await api.get("{ verifyLedger { name violations } }");
  expect(verifyLedger.filter(({ violations }: { violations: string }) => violations !== "0")).toEqual([]);
});
