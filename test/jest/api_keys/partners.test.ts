import { describe, expect, test } from "@jest/globals";
import { sendSigned as sendByClient } from "../../../clients/typescript/sign_request.ts";
import { bootApi, postMutation, transfer } from "../api/_api.ts";
import { createMutation, inDays, makeKey, type PartnerKey, sendSigned } from "./_partner.ts";

/** What a partner does over the API, by the signing client, and what an administrator does with its keys. */
const api = await bootApi();
const setId = await makeSet("shops");
const key = await makeKey(api, { accountSetId: setId });
const wallet = await open("wallets:shop", key.userId);
const member = await open("wallets:member", null);
await api.get(
  `mutation ($set: UUID!, $account: UUID!) {
     addAccountToSet(input: { accountSetId: $set, accountId: $account }) { accountSet { id } } }`,
  { set: setId, account: member },
);
interface PartnerAnswer {
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the shape of what it asked for.
  data: any;
  errors?: { extensions: { code: string } }[];
}
const ask = (query: string, variables: Record<string, unknown> = {}, by: PartnerKey = key): Promise<PartnerAnswer> =>
  sendByClient(by, api.url, { query, variables }) as Promise<PartnerAnswer>;
const codesOf = (answer: { errors?: { extensions: { code: string } }[] }) =>
  answer.errors?.map(({ extensions }) => extensions.code);

describe("a partner", () => {
  test("sees its accounts, and no others", async () => {
    const { data, errors } = await ask("{ accounts(first: 50) { totalCount nodes { code } } }");
    expect(errors).toBeUndefined();
    expect(data.accounts.totalCount).toBe(2);
    expect(data.accounts.nodes.map(({ code }: { code: string }) => code).sort()).toEqual([
      "wallets:member",
      "wallets:shop",
    ]);
    expect((await ask("query ($id: UUID!) { account(id: $id) { code } }", { id: api.books.cash })).data).toEqual({
      account: null,
    });
  });

  test("posts, reads back what it left, and asks again with the same key", async () => {
    const sent = transfer(wallet, member, "250", { idempotencyKey: "order-1" });
    const first = await ask(postMutation, sent as Record<string, unknown>);
    expect(first.errors).toBeUndefined();
    const { result } = first.data.postTransaction;
    expect(result.balances).toHaveLength(2);
    expect(result.transaction.postings.nodes).toHaveLength(2);
    const again = await ask(postMutation, sent as Record<string, unknown>);
    expect(again.data.postTransaction.result).toMatchObject({ isReplayed: true, transactionId: result.transactionId });
    const found = await ask('{ transactionByIdempotencyKey(key: "order-1") { id status } }');
    expect(found.data.transactionByIdempotencyKey).toEqual({ id: result.transactionId, status: "POSTED" });
  });

  test("reads balances and statements, now and then", async () => {
    const { data, errors } = await ask(
      `query ($id: UUID!, $moment: Datetime!) { account(id: $id) {
         balance { posted available postedFormatted } earlier: balance(asOf: $moment) { posted }
         statement { amountFormatted posted } subtreeBalances { balanceFormatted }
         postings { nodes { amountFormatted account { code } transaction { kind } } } } }`,
      { id: wallet, moment: "2020-01-01T00:00:00Z" },
    );
    expect(errors).toBeUndefined();
    expect(data.account).toMatchObject({ balance: { posted: "-250" }, earlier: { posted: "0" } });
    expect(data.account.statement).toHaveLength(1);
  });

  test("cannot name the accounts of others: LG301, as for one that is none", async () => {
    const unknown = "0199b4c8-7a10-7c3e-9d52-3f0a6b1c2d3e";
    const answers = await Promise.all(
      [api.books.cash, api.otherBooks.cash, unknown].map(async (id) => {
        const answer = await ask(postMutation, transfer(id, member, "1") as Record<string, unknown>);
        return JSON.stringify(answer).replaceAll(id, "<id>");
      }),
    );
    expect(answers[0]).toContain("LG301");
    expect(new Set(answers).size).toBe(1);
  });

  test("does what its scopes allow, and no more", async () => {
    const reader = await makeKey(api, { accountSetId: setId, scopes: ["ledger.read"] });
    expect(codesOf(await ask(postMutation, transfer(wallet, member, "1") as Record<string, unknown>, reader))).toEqual([
      "LG402",
    ]);
    const writer = await makeKey(api, { accountSetId: setId, scopes: ["transactions.post"], userId: key.userId });
    expect((await ask("{ accounts { totalCount } }", {}, writer)).data.accounts.totalCount).toBe(0);
    const posted = await ask(postMutation, transfer(wallet, member, "1") as Record<string, unknown>, writer);
    expect(posted.data.postTransaction.result.transactionId).toMatch(/^[0-9a-f-]{36}$/);
    expect(posted.data.postTransaction.result.transaction).toBeNull();
  });

  test.each([
    ["makes no keys", createMutation, { input: { name: "x", scopes: ["ledger.read"], expiresAt: inDays(1) } }],
    ["lists none", "{ apiKeys { totalCount } }", {}],
    [
      "freezes nothing",
      "mutation ($id: UUID!) { freezeAccount(input: { id: $id }) { account { id } } }",
      { id: wallet },
    ],
    ["sees no sets", "{ accountSets { totalCount } }", {}],
    ["asks for no report", "{ trialBalance { code } }", {}],
  ])("%s", async (_what, query, variables) => {
    expect(codesOf(await ask(query, variables as Record<string, unknown>))).toEqual(["LG402"]);
  });
});

describe("an administrator", () => {
  test("creates a key: its secret is told once", async () => {
    const { createApiKey } = await api.get(createMutation, {
      input: { name: "Payouts", scopes: ["ledger.read"], expiresAt: inDays(10), allowedAddresses: ["192.0.2.0/24"] },
    });
    expect(createApiKey.secret).toMatch(/^tsk_[\w-]{43}$/);
    expect(createApiKey.apiKey).toMatchObject({
      name: "Payouts",
      status: "ACTIVE",
      scopes: ["ledger.read"],
      allowedAddresses: ["192.0.2.0/24"],
    });
    const { apiKeys } = await api.get("{ apiKeys(first: 1) { nodes { id name status lastUsedAt } } }");
    expect(apiKeys.nodes).toEqual([
      { id: createApiKey.apiKey.id, name: "Payouts", status: "ACTIVE", lastUsedAt: null },
    ]);
    expect(JSON.stringify(apiKeys)).not.toContain(createApiKey.secret);
  });

  test("sees when a key was used", async () => {
    const used = await makeKey(api);
    await sendSigned(api.url, used);
    const { apiKey } = await api.get("query ($id: UUID!) { apiKey(id: $id) { lastUsedAt } }", { id: used.id });
    expect(Date.now() - Date.parse(apiKey.lastUsedAt)).toBeLessThan(60_000);
  });

  test("is told what a key cannot be", async () => {
    const answer = await api.ask(createMutation, {
      input: { name: "x", scopes: ["periods.manage"], expiresAt: inDays(1) },
    });
    expect(answer.errors[0]?.extensions).toMatchObject({ code: "LG427", detail: { field: "scopes" } });
  });

  test.each(["teller", "accountant", "auditor", "customer"] as const)("is who makes keys: no %s", async (role) => {
    const answer = await api.ask(
      createMutation,
      { input: { name: "x", scopes: ["ledger.read"], expiresAt: inDays(1) } },
      { role, user: `00000000-0000-7000-8000-0000000000${10 + role.length}` },
    );
    expect(answer.errors[0]?.extensions.code).toBe("LG402");
  });

  test("of other books neither sees, rotates nor revokes it", async () => {
    const tenant = api.otherBooks.tenant;
    expect(await api.get("query ($id: UUID!) { apiKey(id: $id) { id } }", { id: key.id }, { tenant })).toEqual({
      apiKey: null,
    });
    for (const mutation of ["rotateApiKey", "revokeApiKey"]) {
      const answer = await api.ask(
        `mutation ($id: UUID!) { ${mutation}(input: { id: $id }) { apiKey { id } } }`,
        { id: key.id },
        { tenant },
      );
      expect(answer.errors[0]?.extensions.code).toBe("LG426");
    }
    expect((await sendSigned(api.url, key)).status).toBe(200);
  });
});

async function makeSet(code: string): Promise<string> {
  const { createAccountSet } = await api.get(
    "mutation ($code: String!) { createAccountSet(input: { code: $code, name: $code }) { accountSet { id } } }",
    { code },
  );
  return createAccountSet.accountSet.id;
}

async function open(code: string, owner: string | null): Promise<string> {
  const { openAccount } = await api.get(
    `mutation ($code: String!, $owner: UUID) { openAccount(input: {
       code: $code, name: $code, type: LIABILITY, currency: "USD", ownerId: $owner }) { account { id } } }`,
    { code, owner },
  );
  return openAccount.account.id;
}
