import { beforeAll, describe, expect, test } from "@jest/globals";
import jwt from "jsonwebtoken";
import { sessionId, staff } from "../../support/session.ts";
import { bootApi, postMutation, secret, transfer } from "../api/_api.ts";

/* What a customer, or somebody with a token of their own making, tries to see more than they may. */
const api = await bootApi();
const { books, otherBooks } = api;
const ann = { role: "customer", user: books.customer } as const;
let transaction: string;
let hidden: string;

beforeAll(async () => {
  const post = async (from: string, to: string, more: object = {}): Promise<string> => {
    const data = await api.get(postMutation, transfer(from, to, "500", more));
    return data.postTransaction.result.transactionId;
  };
  await api.get(
    `mutation ($parent: UUID!, $owner: UUID!) {
      openAccount(input: {
        code: "savings", name: "Savings", type: LIABILITY, currency: "USD", parentId: $parent, ownerId: $owner
      }) { account { id } } }`,
    { parent: books.sales, owner: books.customer },
  );
  transaction = await post(books.cash, books.wallet, { metadata: { note: "for ann" } });
  hidden = await post(books.cash, books.sales, { idempotencyKey: "hidden from ann" });
});

describe("from a row that is seen to rows that are not", () => {
  test("the other side of a transaction is in no list, count or sum", async () => {
    const data = await api.get(
      `query ($id: UUID!) {
        transaction(id: $id) {
          postings { totalCount nodes { account { code } direction } aggregates { sum { postedAmount } } }
        }
        postings(filter: { transactionId: { equalTo: $id } }) {
          totalCount groupedAggregates(groupBy: [ACCOUNT_ID]) { keys sum { postedAmount } }
        }
      }`,
      { id: transaction },
      ann,
    );
    expect(data.transaction.postings).toEqual({
      totalCount: 1,
      nodes: [{ account: { code: "wallet" }, direction: "CREDIT" }],
      aggregates: { sum: { postedAmount: "500" } },
    });
    expect(data.postings).toEqual({
      totalCount: 1,
      groupedAggregates: [{ keys: [books.wallet], sum: { postedAmount: "500" } }],
    });
  });

  test("an account of the house is not there as a parent", async () => {
    const data = await api.get(
      '{ accountByCode(code: "savings", currency: "USD") { parentId parent { code } } }',
      {},
      ann,
    );
    expect(data.accountByCode).toEqual({ parentId: books.sales, parent: null });
  });

  test("a transaction between others is not there, by id, key or reversal", async () => {
    const data = await api.get(
      `query ($id: UUID!) {
        transaction(id: $id) { id }
        transactionByIdempotencyKey(key: "hidden from ann") { id }
        transactions(filter: { id: { equalTo: $id } }) { totalCount }
        all: transactions { totalCount nodes { id } }
      }`,
      { id: hidden },
      ann,
    );
    expect(data).toEqual({
      transaction: null,
      transactionByIdempotencyKey: null,
      transactions: { totalCount: 0 },
      all: { totalCount: 1, nodes: [{ id: transaction }] },
    });
  });

  test.each([
    ["proposal", "{ transactions { nodes { proposal { id } } } }"],
    ["account sets", "{ accounts { nodes { memberships { totalCount } } } }"],
    ["periods", "{ accountingPeriods { totalCount } }"],
    ["trial balance", "{ trialBalance { code } }"],
    ["verification of the books", "{ verifyLedger { name } }"],
    ["proposals", "{ transactionProposals { totalCount } }"],
  ])("what is the staff's is refused: %s", async (_, query) => {
    const { errors, text } = await api.ask(query, {}, ann);
    expect(errors.map(({ extensions }) => extensions.code)).toEqual(["LG402"]);
    // Neither the name of a table nor of a function of the database.
    expect(text).not.toMatch(/app_(public|private|hidden)|permission denied|relation/);
  });
});

describe("columns that are not shown", () => {
  test.each([
    "{ transactions(filter: { tenantId: { equalTo: 1 } }) { totalCount } }",
    '{ transactions(filter: { fingerprint: { equalTo: "x" } }) { totalCount } }',
    "{ transactions(filter: { createdBy: { isNull: true } }) { totalCount } }",
    "{ transactions(filter: { postings: { some: { postedAmount: { equalTo: 1 } } } }) { totalCount } }",
    "{ transactions(orderBy: [XACT_ID_ASC]) { totalCount } }",
    "{ transactions(orderBy: [CREATED_BY_ASC]) { totalCount } }",
    "{ postings(orderBy: [POSTED_AMOUNT_DESC]) { totalCount } }",
    "{ accounts(orderBy: [POSTINGS_COUNT_DESC]) { totalCount } }",
    "{ postings { groupedAggregates(groupBy: [TRANSACTION_ID]) { keys } } }",
    "{ users { totalCount } }",
    "{ sessions { totalCount } }",
  ])("neither filter nor order nor list: %s", async (query) => {
    const { errors, data } = await api.ask(query);
    expect(errors.map(({ extensions }) => extensions.code)).toEqual(["GRAPHQL_VALIDATION_FAILED"]);
    expect(data).toBeUndefined();
  });
});

describe("settings", () => {
  const intruders = [
    `'; select set_config('tallystick.tenant_id', '${otherBooks.tenant}', false); --`,
    `$$, set_config('role', 'tallystick_owner', true), $$`,
    `tallystick.tenant_id=${otherBooks.tenant}`,
  ];

  test.each(intruders)("are not changed by a text: %s", async (text) => {
    const data = await api.get(
      postMutation,
      transfer(books.cash, books.wallet, "1", { description: text, idempotencyKey: text, metadata: { [text]: text } }),
    );
    const posted = await api.get(
      "query ($key: String!) { currentTenant { slug } transactionByIdempotencyKey(key: $key) { id description } }",
      { key: text },
    );
    expect(posted).toEqual({
      currentTenant: { slug: "acme" },
      transactionByIdempotencyKey: { id: data.postTransaction.result.transactionId, description: text },
    });
  });

  test("are not taken from headers", async () => {
    const answer = await api.send(JSON.stringify({ query: "{ currentTenant { slug } }" }), {
      authorization: `Bearer ${api.token({})}`,
      "x-tenant-id": String(otherBooks.tenant),
      "tallystick.tenant_id": String(otherBooks.tenant),
      "x-hasura-role": "admin",
      role: "tallystick_owner",
      pgoptions: `-c tallystick.tenant_id=${otherBooks.tenant}`,
    });
    expect(answer.data).toEqual({ currentTenant: { slug: "acme" } });
  });
});

describe("tokens", () => {
  const claims = {
    tenant_id: books.tenant,
    role: "customer",
    sid: sessionId({ tenantId: books.tenant, role: "customer", userId: books.customer }),
    sub: books.customer,
    aud: "tallystick",
    iss: "tallystick",
  };
  const ask = (token: string) => api.ask("{ currentTenant { slug } }", {}, { authorization: `Bearer ${token}` });

  test("claims beside the known ones change nothing", async () => {
    const token = jwt.sign(
      {
        ...claims,
        pgSettings: { role: "tallystick_owner" },
        "tallystick.tenant_id": otherBooks.tenant,
        statement_timeout: "0",
        roles: ["admin"],
      },
      secret,
      { expiresIn: 60 },
    );
    expect((await ask(token)).data).toEqual({ currentTenant: { slug: "acme" } });
    const { errors } = await api.ask("{ trialBalance { code } }", {}, { authorization: `Bearer ${token}` });
    expect(errors[0]?.extensions.code).toBe("LG402");
  });

  test.each([
    ["a role that is no request role", { ...claims, role: "owner" }],
    ["the role of the worker", { ...claims, role: "worker" }],
    ["a role with more in it", { ...claims, role: "customer; set role tallystick_admin" }],
    ["a tenant that is no number", { ...claims, tenant_id: `${books.tenant} or true` }],
    ["several tenants", { ...claims, tenant_id: [books.tenant, otherBooks.tenant] }],
    ["a user that is no id", { ...claims, sub: "' or true --" }],
  ])("%s is refused", async (_, payload) => {
    const answer = await ask(jwt.sign(payload, secret, { expiresIn: 60 }));
    expect([answer.status, answer.errors[0]?.extensions.code]).toEqual([401, "LG460"]);
  });

  test.each([
    ["without a signature", jwt.sign({ ...claims, exp: 4102444800 }, "", { algorithm: "none" })],
    ["with another secret", jwt.sign(claims, "a secret that the ledger does not have", { expiresIn: 60 })],
    ["with another algorithm", jwt.sign(claims, secret, { algorithm: "HS512", expiresIn: 60 })],
  ])("one %s is refused", async (_, token) => {
    expect((await ask(token)).errors[0]?.extensions.code).toBe("LG460");
  });

  test("a session of other books, or of somebody else, posts nothing", async () => {
    for (const of of [
      { tenantId: otherBooks.tenant, role: "admin", userId: staff },
      { tenantId: books.tenant, role: "customer", userId: books.customer },
    ]) {
      await api.ask("{ __typename }", {}, { tenant: of.tenantId, role: of.role as "admin", user: of.userId });
      const token = jwt.sign({ ...claims, role: "admin", sub: staff, sid: sessionId(of) }, secret, { expiresIn: 60 });
      const { errors } = await api.ask(postMutation, transfer(books.cash, books.sales, "1"), {
        authorization: `Bearer ${token}`,
      });
      expect(errors[0]?.extensions.code).toBe("LG401");
    }
  });
});
