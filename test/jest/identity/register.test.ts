import { beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { type RotationQueries, rotateFieldKeys } from "../../../src/crypto/rotate.ts";
import { hashToken } from "../../../src/identity/one_time.ts";
import { openRegistrationEmail, openSecret } from "../../../src/identity/secrets.ts";
import type { Mail } from "../../../src/mailer.ts";
import { newId } from "../../../src/random.ts";
import { makeInvitation } from "../../../src/tenants/invite.ts";
import { fieldKeys } from "../../support/field_keys.ts";
import { bootApi, postMutation, transfer } from "../api/_api.ts";
import { askWith, codeOf, forgetAttempts, keys, makePerson, post, securityEvents, signIn } from "./_people.ts";

/* Joining books, and what people do with their passwords. */
const api = await bootApi();
const { books, otherBooks, db } = api;
const password = "correct horse battery";
let count = 0;
const newcomer = () => {
  count += 1;
  return { email: `new.${count}@example.com`, password, name: "Somebody new" };
};

beforeAll(() =>
  db.withClient("owner", (client) =>
    client.query("update app_public.tenants set is_registration_open = true where id = $1", [books.tenant]),
  ),
);
beforeEach(() => forgetAttempts(db));

/** The message to an address, which is sent after the answer. */
async function mailTo(email: string, kind: Mail["kind"]): Promise<Mail> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const mail = api.mails.findLast((one) => one.to === email && one.kind === kind);
    if (mail) return mail;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error(`No message ${kind} came to ${email}.`);
}

const mailsTo = (email: string): Mail[] => api.mails.filter(({ to }) => to === email);

/** Invites somebody as the tenant's own function does. */
async function invite(email: string, role: string): Promise<string> {
  const id = newId();
  const invitation = await makeInvitation(keys, { id, tenantId: otherBooks.tenant, email });
  await db.withClient("owner", (client) =>
    client.query("select app_private.invite($1, null, $2::app_public.member_role, $3, $4, $5, $6)", [
      otherBooks.tenant,
      role,
      id,
      invitation.tokenHash,
      invitation.emailCiphertext,
      invitation.emailIndex,
    ]),
  );
  return invitation.token;
}

describe("registering in books that are open", () => {
  test("waits for the address to be confirmed, then signs in as a customer", async () => {
    const ann = newcomer();
    const answer = await post(api, "register", { ...ann, tenant: "acme" });
    expect([answer.status, answer.body]).toEqual([202, { status: "confirmation_sent" }]);
    expect((await post(api, "login", ann)).code).toBe("LG470");
    const mail = await mailTo(ann.email, "confirm_registration");
    expect(mail.facts).toEqual({ books: "acme", hasAccount: false });
    const confirmed = await post(api, "confirm", { token: mail.token, password });
    expect(confirmed.status).toBe(201);
    expect(confirmed.body).toMatchObject({ tenant: "acme", role: "customer" });
    const { data } = await askWith(api, confirmed.body.accessToken, "{ currentTenant { slug } }");
    expect(data.currentTenant).toEqual({ slug: "acme" });
    await signIn(api, { ...ann, userId: "" });
    expect((await post(api, "confirm", { token: mail.token, password })).code).toBe("LG475");
    expect(await securityEvents(db, confirmed.body.userId)).toContain("registered info");
  });

  test("works over GraphQL too", async () => {
    const ann = newcomer();
    const register = `mutation ($input: RegisterInput!) {
      register(input: $input) { isConfirmationSent signedIn { userId } } }`;
    const input = { ...ann, tenant: "acme" };
    const { data } = await api.ask(register, { input }, { role: "anonymous" });
    expect(data.register).toEqual({ isConfirmationSent: true, signedIn: null });
    const { token } = await mailTo(ann.email, "confirm_registration");
    const confirm = `mutation ($input: ConfirmRegistrationInput!) {
      confirmRegistration(input: $input) { signedIn { tenant role } } }`;
    const confirmed = await api.ask(confirm, { input: { token, password } }, { role: "anonymous" });
    expect(confirmed.data.confirmRegistration.signedIn).toEqual({ tenant: "acme", role: "CUSTOMER" });
  });

  test("answers alike for an address that has an account; only the message tells", async () => {
    const known = await makePerson(db, { roles: { [otherBooks.tenant]: "teller" } });
    const fresh = newcomer();
    const forKnown = await post(api, "register", { ...fresh, email: known.email, tenant: "acme" });
    const forFresh = await post(api, "register", { ...fresh, tenant: "acme" });
    expect([forKnown.status, forKnown.body]).toEqual([forFresh.status, forFresh.body]);
    expect((await mailTo(known.email, "confirm_registration")).facts["hasAccount"]).toBe(true);
    // The account keeps its password.
    await signIn(api, known);
  });

  test("adds the books to an account, with the password that it has", async () => {
    const known = await makePerson(db, { roles: { [otherBooks.tenant]: "teller" } });
    await post(api, "register", {
      ...newcomer(),
      email: known.email,
      password: "a password of a stranger",
      tenant: "acme",
    });
    const { token } = await mailTo(known.email, "confirm_registration");
    expect((await post(api, "confirm", { token, password: "a password of a stranger" })).code).toBe("LG470");
    const confirmed = await post(api, "confirm", { token, password: known.password });
    expect(confirmed.body).toMatchObject({ userId: known.userId, tenant: "acme", role: "customer" });
  });

  test("by a stranger with somebody's address gives the stranger nothing", async () => {
    const victim = newcomer();
    await post(api, "register", { ...victim, password: "a password of a stranger", tenant: "acme" });
    const { token } = await mailTo(victim.email, "confirm_registration");
    // The victim clicks, and gives the password that they would have chosen.
    expect((await post(api, "confirm", { token, password })).code).toBe("LG470");
    expect((await post(api, "login", { ...victim, password: "a password of a stranger" })).code).toBe("LG470");
  });

  test("sends few messages to one address, and answers as if it had", async () => {
    const ann = newcomer();
    for (let attempt = 0; attempt < 7; attempt += 1) {
      expect((await post(api, "register", { ...ann, tenant: "acme" })).status).toBe(202);
    }
    await new Promise((done) => setTimeout(done, 100));
    expect(mailsTo(ann.email)).toHaveLength(4);
  });

  test.each([
    ["books that are not open", { tenant: "other" }],
    ["books that there are none of", { tenant: "nowhere" }],
    ["no books at all", {}],
  ])("is refused for %s, alike", async (_name, more) => {
    const answer = await post(api, "register", { ...newcomer(), ...more });
    expect([answer.status, answer.code]).toEqual([403, "LG480"]);
  });

  test.each([
    ["an unsuitable password", { password: "password1234" }, "LG477"],
    ["no address", { email: "nobody" }, "LG160"],
    ["no name", { name: " " }, "LG114"],
    ["an invitation that is none", { invitation: "nonsense" }, "LG372"],
  ])("is refused with %s", async (_name, more, code) => {
    expect((await post(api, "register", { ...newcomer(), tenant: "acme", ...more })).code).toBe(code);
  });

  test("a token that nobody was given, or that has expired, is refused alike", async () => {
    const ann = newcomer();
    await post(api, "register", { ...ann, tenant: "acme" });
    const { token } = await mailTo(ann.email, "confirm_registration");
    await db.withClient("owner", (client) => client.query("update app_private.registrations set expires_at = now()"));
    const expired = await post(api, "confirm", { token, password });
    const unknown = await post(api, "confirm", { token: "A".repeat(43), password });
    expect([expired.status, expired.code]).toEqual([400, "LG475"]);
    expect(unknown.body).toEqual(expired.body);
  });

  test("two who confirm the same address at once make one account", async () => {
    const ann = newcomer();
    await post(api, "register", { ...ann, tenant: "acme" });
    await post(api, "register", { ...ann, tenant: "acme" });
    await mailTo(ann.email, "confirm_registration");
    for (let attempt = 0; attempt < 50 && mailsTo(ann.email).length < 2; attempt += 1) {
      await new Promise((done) => setTimeout(done, 20));
    }
    const tokens = mailsTo(ann.email).map(({ token }) => token);
    expect(tokens).toHaveLength(2);
    const answers = await Promise.all(tokens.map((token) => post(api, "confirm", { token, password })));
    const users = new Set(answers.filter(({ status }) => status === 201).map(({ body }) => body.userId));
    expect(users.size).toBe(1);
    for (const { status, code } of answers) expect([201, 409].includes(status) || code === "LG475").toBe(true);
  });
});

describe("an invitation", () => {
  test("to the very address signs in at once, with the role that it names", async () => {
    const ann = newcomer();
    const invitation = await invite(ann.email, "accountant");
    const answer = await post(api, "register", { ...ann, email: ann.email.toUpperCase(), invitation });
    expect([answer.status, answer.body.tenant, answer.body.role]).toEqual([201, "other", "accountant"]);
    expect(mailsTo(ann.email)).toEqual([]);
    expect((await post(api, "register", { ...newcomer(), invitation })).code).toBe("LG373");
  });

  test("to another address waits for this one to be confirmed", async () => {
    const ann = newcomer();
    const invitation = await invite("somebody.else@example.com", "teller");
    expect((await post(api, "register", { ...ann, invitation })).status).toBe(202);
    const { token } = await mailTo(ann.email, "confirm_registration");
    const confirmed = await post(api, "confirm", { token, password });
    expect(confirmed.body).toMatchObject({ tenant: "other", role: "teller" });
  });

  test("to somebody who has an account takes the password of the account", async () => {
    const known = await makePerson(db, { roles: { [books.tenant]: "customer" } });
    const invitation = await invite(known.email, "auditor");
    const wrong = await post(api, "register", {
      ...known,
      name: "x",
      password: "a password of a stranger",
      invitation,
    });
    expect(wrong.code).toBe("LG470");
    const right = await post(api, "register", { ...known, name: "x", invitation });
    expect(right.body).toMatchObject({ userId: known.userId, tenant: "other", role: "auditor" });
  });

  test("is accepted by who is signed in", async () => {
    const known = await makePerson(db, { roles: { [books.tenant]: "customer" } });
    const { accessToken } = await signIn(api, known);
    const accept =
      "mutation ($token: String!) { acceptInvitation(input: { token: $token }) { accepted { tenant role } } }";
    const invitation = await invite(known.email, "teller");
    const { data } = await askWith(api, accessToken, accept, { token: invitation });
    expect(data.acceptInvitation.accepted).toEqual({ tenant: "other", role: "TELLER" });
    expect(codeOf(await askWith(api, accessToken, accept, { token: invitation }))).toBe("LG373");
    expect(codeOf(await askWith(api, accessToken, accept, { token: "A".repeat(43) }))).toBe("LG372");
    expect(codeOf(await api.ask(accept, { token: invitation }, { role: "anonymous" }))).toBe("LG401");
    await signIn(api, known, { tenant: "other" });
  });
});

describe("a password", () => {
  const change = `mutation ($input: ChangePasswordInput!) { changePassword(input: $input) { isDone } }`;
  const request = "mutation ($email: String!) { requestPasswordReset(input: { email: $email }) { isDone } }";
  const reset = "mutation ($input: ResetPasswordInput!) { resetPassword(input: $input) { isDone } }";
  const newPassword = "an altogether new one";
  const anonymously = (query: string, variables: object) =>
    api.ask(query, variables as Record<string, unknown>, { role: "anonymous" });

  test("is changed with the old one, and all other sessions end", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller", [otherBooks.tenant]: "teller" } });
    const here = await signIn(api, ann, { tenant: "acme" });
    const elsewhere = await signIn(api, ann, { tenant: "other" });
    const asked = (currentPassword: string, next = newPassword) =>
      askWith(api, here.accessToken, change, { input: { currentPassword, newPassword: next } });
    expect(codeOf(await asked("not the password"))).toBe("LG470");
    expect(codeOf(await asked(ann.password, "short"))).toBe("LG477");
    expect(codeOf(await asked(ann.password, `${ann.email} 12`))).toBe("LG477");
    expect((await asked(ann.password)).errors).toEqual([]);
    const move = transfer(books.cash, books.sales, "1");
    expect((await askWith(api, here.accessToken, postMutation, move)).errors).toEqual([]);
    const moveElsewhere = transfer(otherBooks.cash, otherBooks.sales, "1");
    expect(codeOf(await askWith(api, elsewhere.accessToken, postMutation, moveElsewhere))).toBe("LG401");
    expect((await post(api, "login", { ...ann, tenant: "acme" })).code).toBe("LG470");
    await signIn(api, { ...ann, password: newPassword }, { tenant: "acme" });
    expect(await securityEvents(db, ann.userId)).toContain("password_changed notice");
  });

  test("is not changed without a session", async () => {
    const input = { currentPassword: password, newPassword };
    expect(codeOf(await anonymously(change, { input }))).toBe("LG401");
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const { accessToken, refreshToken } = await signIn(api, ann);
    await post(api, "logout", { refreshToken });
    expect(codeOf(await askWith(api, accessToken, change, { input }))).toBe("LG401");
  });

  test("guessing at it in a session is stopped", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const { accessToken } = await signIn(api, ann);
    const input = { currentPassword: "just a guess 123", newPassword };
    const answers = await Promise.all(Array.from({ length: 20 }, () => askWith(api, accessToken, change, { input })));
    expect(answers.filter((answer) => codeOf(answer) === "LG470")).toHaveLength(11);
    expect(answers.filter((answer) => codeOf(answer) === "LG471")).toHaveLength(9);
  });

  test("is reset with a token, once, and all sessions end", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const { accessToken } = await signIn(api, ann);
    expect((await anonymously(request, { email: ann.email.toLowerCase() })).data).toEqual({
      requestPasswordReset: { isDone: true },
    });
    const { token } = await mailTo(ann.email, "reset_password");
    expect(codeOf(await anonymously(reset, { input: { token, newPassword: "short" } }))).toBe("LG477");
    expect((await anonymously(reset, { input: { token, newPassword } })).errors).toEqual([]);
    expect(codeOf(await anonymously(reset, { input: { token, newPassword: "yet another one 1" } }))).toBe("LG475");
    const move = transfer(books.cash, books.sales, "1");
    expect(codeOf(await askWith(api, accessToken, postMutation, move))).toBe("LG401");
    await signIn(api, { ...ann, password: newPassword });
    expect(await securityEvents(db, ann.userId)).toEqual(
      expect.arrayContaining(["password_reset_requested notice", "password_reset warning"]),
    );
  });

  test("is reset once by many who use a token at once", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    await anonymously(request, { email: ann.email });
    const { token } = await mailTo(ann.email, "reset_password");
    const passwords = Array.from({ length: 6 }, (_value, index) => `an altogether new one ${index}`);
    const answers = await Promise.all(
      passwords.map((one) => anonymously(reset, { input: { token, newPassword: one } })),
    );
    expect(answers.map((answer) => codeOf(answer) ?? "reset").sort()).toEqual([
      ...Array.from({ length: 5 }, () => "LG475"),
      "reset",
    ]);
    const winner = passwords[answers.findIndex(({ errors }) => errors.length === 0)] ?? "";
    await signIn(api, { ...ann, password: winner });
  });

  test("is reset by the newest token alone, and by none that has expired", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    await anonymously(request, { email: ann.email });
    const first = await mailTo(ann.email, "reset_password");
    await anonymously(request, { email: ann.email });
    for (let attempt = 0; attempt < 50 && mailsTo(ann.email).length < 2; attempt += 1) {
      await new Promise((done) => setTimeout(done, 20));
    }
    expect(codeOf(await anonymously(reset, { input: { token: first.token, newPassword } }))).toBe("LG475");
    await db.withClient("owner", (client) => client.query("update app_private.password_resets set expires_at = now()"));
    const { token } = await mailTo(ann.email, "reset_password");
    expect(codeOf(await anonymously(reset, { input: { token, newPassword } }))).toBe("LG475");
    expect(codeOf(await anonymously(reset, { input: { token: "nonsense", newPassword } }))).toBe("LG475");
  });

  test("asking for a reset tells nothing, and sends few messages", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const nobody = await anonymously(request, { email: "nobody@example.com" });
    expect(nobody.data).toEqual((await anonymously(request, { email: ann.email })).data);
    for (let attempt = 0; attempt < 6; attempt += 1) {
      expect((await anonymously(request, { email: ann.email })).errors).toEqual([]);
    }
    await new Promise((done) => setTimeout(done, 100));
    expect(mailsTo(ann.email)).toHaveLength(4);
    expect(mailsTo("nobody@example.com")).toEqual([]);
  });
});

test("the rotation of field keys reaches what waits for confirmation, and the secrets of authenticators", async () => {
  const ann = newcomer();
  await post(api, "register", { ...ann, tenant: "acme" });
  const { token } = await mailTo(ann.email, "confirm_registration");
  const person = await makePerson(db, { roles: { [books.tenant]: "teller" } });
  const { accessToken } = await signIn(api, person);
  const enrol = "mutation ($password: String!) { enrolSecondFactor(input: { password: $password }) { secret } }";
  const { data } = await askWith(api, accessToken, enrol, { password: person.password });
  const newKeys = fieldKeys("next", "test");
  const onlyNewKeys = fieldKeys("next");
  const owner = db.pool("owner");
  const query = owner.query.bind(owner) as unknown as RotationQueries;
  expect((await rotateFieldKeys({ keys: newKeys, query })).failures).toEqual([]);
  const { rows: factors } = await owner.query("select * from app_private.second_factors where user_id = $1", [
    person.userId,
  ]);
  expect(await openSecret(onlyNewKeys, person.userId, factors[0].secret_ciphertext)).toBe(
    data.enrolSecondFactor.secret,
  );
  const { rows } = await owner.query("select * from app_private.registrations where token_hash = $1", [
    hashToken(token),
  ]);
  const { id, tenant_id: tenantId, email_ciphertext: ciphertext } = rows[0];
  expect(await openRegistrationEmail(onlyNewKeys, { tenantId, id }, ciphertext)).toBe(ann.email);
});
