import { describe, expect, test } from "@jest/globals";
import { hashToken } from "../../../src/identity/one_time.ts";
import { type Answer, bootApi, type Caller, postMutation, transfer } from "./_api.ts";

/* The life of a tenant over GraphQL: made, joined, settled, suspended. Each test goes on from the one before. */
const api = await bootApi();
const operator = { role: "operator", user: "00000000-0000-7000-8000-0000000000f0" } as const;
const user = (number: number): string => `00000000-0000-7000-8000-0000000ab${String(number).padStart(3, "0")}`;
const [ada, tess, olga, customer] = [user(1), user(2), user(3), user(4)];

const inviteMutation = `mutation ($email: String!, $role: MemberRole!) {
  inviteMember(input: { email: $email, role: $role }) { token invitation { id role email expiresAt acceptedAt } } }`;

/** What accepting does once the server knows who accepts. */
async function accept(token: string, userId: string): Promise<number> {
  return api.db.withClient("owner", async (client) => {
    await client.query("insert into app_public.users (id, name) values ($1, 'New') on conflict do nothing", [userId]);
    const { rows } = await client.query<{ tenant_id: number }>(
      "select tenant_id from app_private.accept_invitation($1, $2)",
      [hashToken(token), userId],
    );
    return Number(rows[0]?.tenant_id);
  });
}

function codeOf(answer: Answer): string | undefined {
  return answer.errors[0]?.extensions.code;
}

let globex = 0;
const admin = (): Caller => ({ tenant: globex, role: "admin", user: ada });

describe("an operator", () => {
  test("creates a tenant with a chart of accounts, and invites its admin", async () => {
    const { createTenant } = await api.get(
      `mutation { createTenant(input: { slug: "globex", name: "Globex Ltd", template: "wallet", currency: "EUR" }) {
        tenant { slug name status createdAt } } }`,
      {},
      operator,
    );
    expect(createTenant.tenant).toMatchObject({ slug: "globex", name: "Globex Ltd", status: "ACTIVE" });
    const { inviteAdmin } = await api.get(
      'mutation { inviteAdmin(input: { slug: "globex", email: "Ada@Example.com" }) { token expiresAt } }',
      {},
      operator,
    );
    expect(inviteAdmin.token).toMatch(/^[\w-]{43}$/);
    expect(new Date(inviteAdmin.expiresAt).getTime()).toBeGreaterThan(Date.now() + 6 * 86_400_000);
    globex = await accept(inviteAdmin.token, ada);
    expect((await api.get("{ currentTenant { slug } }", {}, admin())).currentTenant).toEqual({ slug: "globex" });
  });

  test("sees all tenants, and of none the books", async () => {
    const data = await api.get("{ tenants(orderBy: [SLUG_ASC]) { nodes { slug status } } }", {}, operator);
    expect(data.tenants.nodes.map(({ slug }: { slug: string }) => slug)).toEqual(["acme", "globex", "other"]);
    expect(codeOf(await api.ask("{ accounts { nodes { id } } }", {}, operator))).toBe("LG402");
    expect(codeOf(await api.ask("{ invitations { nodes { id } } }", {}, operator))).toBe("LG402");
    expect((await api.get("{ tenants { nodes { slug } } }", {}, admin())).tenants.nodes).toEqual([{ slug: "globex" }]);
  });

  test("is told when a tenant is not there", async () => {
    const answer = await api.ask(
      'mutation { inviteAdmin(input: { slug: "nowhere", email: "a@b.example" }) { token } }',
      {},
      operator,
    );
    expect(codeOf(answer)).toBe("LG370");
  });

  test("disables a user everywhere, and enables them again", async () => {
    const set = (verb: string): Promise<Answer["data"]> =>
      api.get(`mutation { ${verb}User(input: { userId: "${customer}" }) { user { id status } } }`, {}, operator);
    const caller = { role: "customer", user: customer } as const;
    await api.get("{ accounts { nodes { id } } }", {}, caller);
    expect(await set("disable")).toEqual({ disableUser: { user: { id: customer, status: "DISABLED" } } });
    expect(await set("enable")).toEqual({ enableUser: { user: { id: customer, status: "ACTIVE" } } });
  });

  test.each([
    ['createTenant(input: { slug: "mine" }) { tenant { slug } }'],
    ['inviteAdmin(input: { slug: "globex", email: "a@b.example" }) { token }'],
    ['suspendTenant(input: { slug: "globex" }) { tenant { slug } }'],
    ['resumeTenant(input: { slug: "globex" }) { tenant { slug } }'],
    [`disableUser(input: { userId: "${ada}" }) { user { id } }`],
    [`enableUser(input: { userId: "${ada}" }) { user { id } }`],
  ])("alone may %s", async (field) => {
    expect(codeOf(await api.ask(`mutation { ${field} }`, {}, admin()))).toBe("LG402");
    expect(codeOf(await api.ask(`mutation { ${field} }`, {}, { role: "anonymous" }))).toBe("LG402");
  });
});

describe("an admin", () => {
  let token = "";

  test("invites, and is shown the token this once", async () => {
    const { inviteMember } = await api.get(inviteMutation, { email: " Tess@Example.com ", role: "TELLER" }, admin());
    expect(inviteMember.invitation).toMatchObject({ role: "TELLER", email: "Tess@Example.com", acceptedAt: null });
    token = inviteMember.token;
    await accept(token, tess);
    const data = await api.get(
      "{ invitations(orderBy: [ID_ASC]) { nodes { role email invitedBy acceptedBy acceptedAt } } }",
      {},
      admin(),
    );
    expect(data.invitations.nodes).toEqual([
      {
        role: "ADMIN",
        email: "Ada@Example.com",
        invitedBy: operator.user,
        acceptedBy: ada,
        acceptedAt: expect.any(String),
      },
      { role: "TELLER", email: "Tess@Example.com", invitedBy: ada, acceptedBy: tess, acceptedAt: expect.any(String) },
    ]);
  });

  test("sees the members", async () => {
    const data = await api.get("{ memberships { nodes { userId role status user { name } } } }", {}, admin());
    expect(data.memberships.nodes).toEqual([
      { userId: ada, role: "ADMIN", status: "ACTIVE", user: { name: "New" } },
      { userId: tess, role: "TELLER", status: "ACTIVE", user: { name: "New" } },
    ]);
  });

  test.each([
    ["no address", "TELLER", "LG160"],
    [`${"x".repeat(65)}@example.com`, "TELLER", "LG160"],
    [`x@${"y".repeat(250)}.example`, "TELLER", "LG160"],
    ["a@b.example", "OPERATOR", "LG413"],
    ["a@b.example", "PARTNER", "LG413"],
  ])("does not invite %p as %s", async (email, role, code) => {
    const answer = await api.ask(inviteMutation, { email, role }, admin());
    expect(codeOf(answer)).toBe(code);
    expect(answer.errors[0]?.message).not.toContain("@");
  });

  test("revokes an invitation; the admin of other books does not", async () => {
    const { inviteMember } = await api.get(inviteMutation, { email: "x@example.com", role: "CUSTOMER" }, admin());
    const revoke =
      "mutation ($id: UUID!) { revokeInvitation(input: { invitationId: $id }) { invitation { revokedAt } } }";
    const { id } = inviteMember.invitation;
    expect(codeOf(await api.ask(revoke, { id }))).toBe("LG372");
    const { revokeInvitation } = await api.get(revoke, { id }, admin());
    expect(revokeInvitation.invitation.revokedAt).toEqual(expect.any(String));
    await expect(accept(inviteMember.token, olga)).rejects.toThrow("There is no such invitation.");
  });

  test("changes a role: the session ends at once, and the token that is still good posts nothing", async () => {
    const teller = { tenant: globex, role: "teller", user: tess } as const;
    const accounts = await api.get("{ accounts(first: 100) { nodes { id code } } }", {}, teller);
    const idOf = (code: string): string =>
      accounts.accounts.nodes.find((one: { code: string }) => one.code === code).id;
    const post = transfer(idOf("assets:bank"), idOf("equity:capital"), "100");
    await api.get(postMutation, post, teller);
    const { changeMemberRole } = await api.get(
      `mutation { changeMemberRole(input: { userId: "${tess}", role: AUDITOR }) { membership { role status } } }`,
      {},
      admin(),
    );
    expect(changeMemberRole.membership).toEqual({ role: "AUDITOR", status: "ACTIVE" });
    expect(codeOf(await api.ask(postMutation, post, teller))).toBe("LG401");
  });

  test("who is an auditor sees invitations, and not the addresses", async () => {
    const auditor = { tenant: globex, role: "auditor", user: tess } as const;
    const data = await api.get("{ invitations { nodes { role } } }", {}, auditor);
    expect(data.invitations.nodes).toHaveLength(3);
    const answer = await api.ask("{ invitations { nodes { role email } } }", {}, auditor);
    expect(codeOf(answer)).toBe("LG402");
    expect(answer.text).not.toMatch(/example\.com/i);
  });

  test("disables a member and enables them again, but not themselves", async () => {
    const set = (verb: string, userId: string): Promise<Answer> =>
      api.ask(`mutation { ${verb}Member(input: { userId: "${userId}" }) { membership { status } } }`, {}, admin());
    expect((await set("disable", tess)).data.disableMember.membership).toEqual({ status: "DISABLED" });
    expect((await set("enable", tess)).data.enableMember.membership).toEqual({ status: "ACTIVE" });
    expect(codeOf(await set("disable", ada))).toBe("LG412");
    expect(codeOf(await set("disable", user(9)))).toBe("LG375");
  });

  test("changes settings and thresholds", async () => {
    const { updateTenantSettings } = await api.get(
      `mutation { updateTenantSettings(input: { name: "Globex", isRegistrationOpen: true, secondFactorRoles: [] }) {
        tenant { name isRegistrationOpen secondFactorRoles invitationLifetimeSeconds sessionLifetimeSeconds } } }`,
      {},
      admin(),
    );
    expect(updateTenantSettings.tenant).toEqual({
      name: "Globex",
      isRegistrationOpen: true,
      secondFactorRoles: [],
      invitationLifetimeSeconds: 604_800,
      sessionLifetimeSeconds: 2_592_000,
    });
    const { setTransactionThreshold } = await api.get(
      `mutation { setTransactionThreshold(input: { currency: "EUR", approvalAmount: "1000000" }) {
        transactionThreshold { currencyCode approvalAmount secondFactorAmount } } }`,
      {},
      admin(),
    );
    expect(setTransactionThreshold.transactionThreshold).toEqual({
      currencyCode: "EUR",
      approvalAmount: "1000000",
      secondFactorAmount: null,
    });
  });

  test("takes a permission away and gives it back: both hold at once", async () => {
    const accountant = { tenant: globex, role: "accountant", user: olga } as const;
    const create = (code: string): Promise<Answer> =>
      api.ask(
        `mutation { createCurrency(input: { code: "${code}", exponent: 2, name: "x" }) { currency { code } } }`,
        {},
        accountant,
      );
    const change = (verb: string): Promise<Answer["data"]> =>
      api.get(
        `mutation { ${verb}Permission(input: { role: ACCOUNTANT, permission: "currencies.create" }) {
          rolePermission { role permission } } }`,
        {},
        admin(),
      );
    expect((await create("ONE")).errors).toEqual([]);
    expect(await change("revoke")).toEqual({
      revokePermission: { rolePermission: { role: "ACCOUNTANT", permission: "currencies.create" } },
    });
    const refused = await create("TWO");
    expect(refused.errors[0]?.extensions).toMatchObject({ code: "LG402", detail: { permission: "currencies.create" } });
    await change("grant");
    expect((await create("TWO")).errors).toEqual([]);
  });
});

test("charts of accounts are shown, parents first, and opened", async () => {
  const { chartTemplates } = await api.get(
    "{ chartTemplates { nodes { template accounts(first: 100) { nodes { code parentCode type } } } } }",
  );
  for (const { accounts } of chartTemplates.nodes) {
    const seen = new Set<string | null>([null]);
    for (const { code, parentCode } of accounts.nodes) {
      expect(seen.has(parentCode)).toBe(true);
      seen.add(code);
    }
  }
  const apply = 'mutation { applyTemplate(input: { template: "bank", currency: "USD" }) { accounts { code } } }';
  const { applyTemplate } = await api.get(apply);
  expect(applyTemplate.accounts).toHaveLength(49);
  expect((await api.get(apply)).applyTemplate.accounts).toEqual([]);
});

test("a suspended tenant is read and not written, until it is resumed", async () => {
  const open =
    'mutation { openAccount(input: { code: "new", name: "New", type: ASSET, currency: "EUR" }) { account { id } } }';
  await api.get('mutation { suspendTenant(input: { slug: "globex" }) { tenant { status } } }', {}, operator);
  expect(codeOf(await api.ask(open, {}, admin()))).toBe("LG403");
  expect((await api.get("{ currentTenant { status } }", {}, admin())).currentTenant).toEqual({ status: "SUSPENDED" });
  await api.get('mutation { resumeTenant(input: { slug: "globex" }) { tenant { status } } }', {}, operator);
  expect((await api.ask(open, {}, admin())).errors).toEqual([]);
});

test("neither the database nor the log holds an address or a token in clear", async () => {
  const secret = "Very.Special@Example.com";
  const { inviteMember } = await api.get(inviteMutation, { email: secret, role: "TELLER" }, admin());
  const dump = await api.db.withClient("superuser", async (client) => {
    const { rows } = await client.query<{ text: string }>(`
      select string_agg(
        query_to_xml(format('select t::text as row from %s t', c.oid::regclass), true, false, '')::text, '') as text
      from pg_class c
      where c.relkind = 'r' and c.relnamespace::regnamespace::text in ('app_public', 'app_hidden', 'app_private')`);
    return String(rows[0]?.text);
  });
  expect(dump).toContain(inviteMember.invitation.id);
  for (const text of [dump, api.log()]) {
    expect(text).not.toMatch(/special@/i);
    expect(text).not.toContain(inviteMember.token);
    // Bytes are shown in hexadecimal.
    expect(text.toLowerCase()).not.toContain(Buffer.from("special@").toString("hex"));
    expect(text.toLowerCase()).not.toContain(Buffer.from("Special@").toString("hex"));
  }
});
