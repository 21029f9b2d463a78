import { beforeEach, describe, expect, test } from "@jest/globals";
import { generate } from "otplib";
import { totpStep } from "../../../src/identity/totp.ts";
import { bootApi, postMutation, transfer } from "../api/_api.ts";
import { askWith, codeOf, forgetAttempts, makePerson, type Person, post, securityEvents, signIn } from "./_people.ts";

/* The second factor: one-time passwords (TOTP), recovery codes, and the step-up of a session. */
const api = await bootApi();
const { books, db } = api;

const enrol = "mutation ($password: String!) { enrolSecondFactor(input: { password: $password }) { secret uri } }";
const activate =
  "mutation ($code: String!) { activateSecondFactor(input: { code: $code }) { recoveryCodes secondFactorAt } }";
const confirm = "mutation ($code: String!) { confirmSecondFactor(input: { code: $code }) { secondFactorAt } }";
const disable = "mutation ($password: String!) { disableSecondFactor(input: { password: $password }) { isDone } }";
const renew = "mutation ($password: String!) { renewRecoveryCodes(input: { password: $password }) { recoveryCodes } }";
const status = "{ ownSecondFactor { isActive recoveryCodesLeft } }";

beforeEach(() => forgetAttempts(db));

/** The code of a secret, some steps of 30 seconds from now. */
function codeAt(secret: string, steps = 0): Promise<string> {
  return generate({ secret, epoch: Math.floor(Date.now() / 1000) + 30 * steps });
}

interface Enrolled extends Person {
  accessToken: string;
  secret: string;
  recoveryCodes: string[];
}

async function enrolled(role = "teller"): Promise<Enrolled> {
  const person = await makePerson(db, { roles: { [books.tenant]: role } });
  const { accessToken } = await signIn(api, person);
  const { data } = await askWith(api, accessToken, enrol, { password: person.password });
  const { secret } = data.enrolSecondFactor;
  // The step before: so that tests have this one and the next.
  const activated = await askWith(api, accessToken, activate, { code: await codeAt(secret, -1) });
  return { ...person, accessToken, secret, recoveryCodes: activated.data.activateSecondFactor.recoveryCodes };
}

const postWith = (accessToken: string) =>
  askWith(api, accessToken, postMutation, transfer(books.cash, books.sales, "1"));

test("is set up with the password, a secret that is shown once, and a first code", async () => {
  const person = await makePerson(db, { roles: { [books.tenant]: "teller" } });
  const { accessToken } = await signIn(api, person);
  expect(codeOf(await askWith(api, accessToken, enrol, { password: "not the password" }))).toBe("LG470");
  const { data } = await askWith(api, accessToken, enrol, { password: person.password });
  const { secret, uri } = data.enrolSecondFactor;
  expect(secret).toMatch(/^[A-Z2-7]{32}$/);
  expect(uri).toContain(`secret=${secret}`);
  expect(decodeURIComponent(uri)).toContain(`Tallystick:${person.email}`);
  expect((await askWith(api, accessToken, status)).data.ownSecondFactor).toEqual({
    isActive: false,
    recoveryCodesLeft: 0,
  });
  // Until a code has come back, signing in does not ask for one.
  await signIn(api, person);
  expect(codeOf(await askWith(api, accessToken, activate, { code: "000000" }))).toBe("LG474");
  const activated = await askWith(api, accessToken, activate, { code: await codeAt(secret) });
  expect(activated.data.activateSecondFactor.recoveryCodes).toHaveLength(10);
  expect((await askWith(api, accessToken, status)).data.ownSecondFactor).toEqual({
    isActive: true,
    recoveryCodesLeft: 10,
  });
  expect(codeOf(await askWith(api, accessToken, enrol, { password: person.password }))).toBe("LG481");
  expect(await securityEvents(db, person.userId)).toContain("second_factor_activated notice");
});

test("the secret is encrypted in the database, and bound to its person", async () => {
  const { secret, userId } = await enrolled();
  const { rows } = await db.withClient("superuser", (client) =>
    client.query<{ text: string }>(
      "select encode(secret_ciphertext, 'escape') as text from app_private.second_factors where user_id = $1",
      [userId],
    ),
  );
  expect(rows[0]?.text).toBeDefined();
  expect(rows[0]?.text).not.toContain(secret);
  expect(api.log()).not.toContain(secret);
});

describe("signing in", () => {
  test("asks for a code, after the password was right", async () => {
    const person = await enrolled();
    expect((await post(api, "login", { ...person, password: "not the password" })).code).toBe("LG470");
    const without = await post(api, "login", person);
    expect([without.status, without.code]).toEqual([401, "LG473"]);
    const wrong = await post(api, "login", { ...person, code: "000000" });
    expect([wrong.status, wrong.code]).toEqual([401, "LG474"]);
    const code = await codeAt(person.secret);
    const right = await post(api, "login", { ...person, code: `${code.slice(0, 3)} ${code.slice(3)}` });
    expect(right.status).toBe(200);
    expect(Date.parse(right.body.secondFactorAt)).toBeGreaterThan(Date.now() - 10_000);
  });

  test("takes a code once, in any number of requests at once", async () => {
    const person = await enrolled();
    const code = await codeAt(person.secret);
    const answers = await Promise.all(Array.from({ length: 8 }, () => post(api, "login", { ...person, code })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401, 401, 401, 401, 401]);
    expect((await post(api, "login", { ...person, code })).code).toBe("LG474");
    expect((await post(api, "login", { ...person, code: await codeAt(person.secret, -1) })).code).toBe("LG474");
    await signIn(api, person, { code: await codeAt(person.secret, 1) });
  });

  test("takes a recovery code once, as people type them", async () => {
    const person = await enrolled();
    const [first = "", second = ""] = person.recoveryCodes;
    await signIn(api, person, { code: first.toUpperCase().replaceAll("-", " ") });
    expect((await post(api, "login", { ...person, code: first })).code).toBe("LG474");
    const answers = await Promise.all([1, 2, 3].map(() => post(api, "login", { ...person, code: second })));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect((await askWith(api, person.accessToken, status)).data.ownSecondFactor.recoveryCodesLeft).toBe(8);
    expect(await securityEvents(db, person.userId)).toContain("recovery_code_used notice");
  });

  test("guessing at codes is not forgiven by asking for books, with the right password and no code", async () => {
    const person = await enrolled();
    const codes: (string | undefined)[] = [];
    for (let attempt = 0; attempt < 6; attempt += 1) {
      codes.push((await post(api, "login", { ...person, code: "000000" })).code);
      codes.push((await post(api, "login", { ...person, tenant: "nowhere", code: "no code" })).code);
    }
    expect(codes.slice(0, 4)).toEqual(["LG474", "LG472", "LG474", "LG472"]);
    expect(codes.at(-1)).toBe("LG471");
  });

  test("does not use a code up to say which books there are", async () => {
    const person = await enrolled();
    await db.withClient("owner", (client) =>
      client.query("insert into app_public.memberships (tenant_id, user_id, role) values ($1, $2, 'auditor')", [
        api.otherBooks.tenant,
        person.userId,
      ]),
    );
    const code = await codeAt(person.secret);
    expect((await post(api, "login", { ...person, code })).body.tenants).toHaveLength(2);
    await signIn(api, person, { code, tenant: "acme" });
  });
});

test("codes of this moment and of one step before and after count, and no others", async () => {
  const { secret } = await enrolled();
  const counts = async (steps: number) => (await totpStep(secret, await codeAt(secret, steps), null)) !== undefined;
  expect([await counts(-3), await counts(-1), await counts(0), await counts(1), await counts(3)]).toEqual([
    false,
    true,
    true,
    true,
    false,
  ]);
  const step = await totpStep(secret, await codeAt(secret), null);
  expect(await totpStep(secret, await codeAt(secret), step ?? null)).toBeUndefined();
  for (const odd of ["", "12345", "1234567", "abcdef", "１２３４５６"]) {
    expect(await totpStep(secret, odd, null)).toBeUndefined();
  }
});

describe("a role that the books demand a second factor of", () => {
  test("writes nothing before it, and everything after", async () => {
    const setRoles = (roles: string) =>
      db.withClient("owner", (client) =>
        client.query("update app_public.tenants set second_factor_roles = $1::app_public.member_role[] where id = $2", [
          roles,
          books.tenant,
        ]),
      );
    const person = await makePerson(db, { roles: { [books.tenant]: "accountant" } });
    const { accessToken } = await signIn(api, person);
    await setRoles("{accountant}");
    try {
      expect(codeOf(await postWith(accessToken))).toBe("LG404");
      // Setting one up is what remains possible.
      const { data } = await askWith(api, accessToken, enrol, { password: person.password });
      const { secret } = data.enrolSecondFactor;
      await askWith(api, accessToken, activate, { code: await codeAt(secret, -1) });
      expect((await postWith(accessToken)).errors).toEqual([]);
      await askWith(api, accessToken, disable, { password: person.password });
      expect(codeOf(await postWith(accessToken))).toBe("LG404");
    } finally {
      await setRoles("{}");
    }
  });
});

test("the step-up makes the session's second factor fresh, with a code or a recovery code", async () => {
  const person = await enrolled();
  await db.withClient("owner", (client) =>
    client.query("update app_private.sessions set second_factor_at = now() - interval '1 hour' where user_id = $1", [
      person.userId,
    ]),
  );
  const shownAt = async () =>
    Date.parse(
      (await askWith(api, person.accessToken, "{ ownSessions { secondFactorAt } }")).data.ownSessions[0].secondFactorAt,
    );
  expect(await shownAt()).toBeLessThan(Date.now() - 3_000_000);
  expect(codeOf(await askWith(api, person.accessToken, confirm, { code: "000000" }))).toBe("LG474");
  const code = await codeAt(person.secret);
  const { data } = await askWith(api, person.accessToken, confirm, { code });
  expect(Date.parse(data.confirmSecondFactor.secondFactorAt)).toBe(await shownAt());
  expect(await shownAt()).toBeGreaterThan(Date.now() - 10_000);
  expect(codeOf(await askWith(api, person.accessToken, confirm, { code }))).toBe("LG474");
  const recovered = await askWith(api, person.accessToken, confirm, { code: person.recoveryCodes[0] ?? "" });
  expect(recovered.errors).toEqual([]);
  expect(codeOf(await askWith(api, person.accessToken, confirm, { code: "" }))).toBe("LG473");
});

test("guessing codes in a session is stopped", async () => {
  const person = await enrolled();
  const codes = [];
  for (let attempt = 0; attempt < 12; attempt += 1) {
    codes.push(codeOf(await askWith(api, person.accessToken, confirm, { code: "000000" })));
  }
  expect(codes).toEqual([...Array.from({ length: 11 }, () => "LG474"), "LG471"]);
});

test("is disabled, and its recovery codes renewed, in a session that has shown it within five minutes", async () => {
  const person = await enrolled();
  const set = (value: string) =>
    db.withClient("owner", (client) =>
      client.query(`update app_private.sessions set second_factor_at = ${value} where user_id = $1`, [person.userId]),
    );
  for (const stale of ["null", "now() - interval '301 seconds'"]) {
    await set(stale);
    expect(codeOf(await askWith(api, person.accessToken, disable, { password: person.password }))).toBe("LG483");
    expect(codeOf(await askWith(api, person.accessToken, renew, { password: person.password }))).toBe("LG483");
  }
  await askWith(api, person.accessToken, confirm, { code: person.recoveryCodes[0] ?? "" });
  expect((await askWith(api, person.accessToken, renew, { password: person.password })).errors).toEqual([]);
  expect((await askWith(api, person.accessToken, disable, { password: person.password })).errors).toEqual([]);
});

test("is disabled with the password, and counts for no session any more", async () => {
  const person = await enrolled();
  expect(codeOf(await askWith(api, person.accessToken, disable, { password: "not the password" }))).toBe("LG470");
  expect((await askWith(api, person.accessToken, disable, { password: person.password })).errors).toEqual([]);
  const { data } = await askWith(
    api,
    person.accessToken,
    "{ ownSessions { secondFactorAt } ownSecondFactor { isActive } }",
  );
  expect(data).toEqual({ ownSessions: [{ secondFactorAt: null }], ownSecondFactor: { isActive: false } });
  await signIn(api, person);
  expect(codeOf(await askWith(api, person.accessToken, disable, { password: person.password }))).toBe("LG482");
  expect(codeOf(await askWith(api, person.accessToken, renew, { password: person.password }))).toBe("LG482");
  expect(codeOf(await askWith(api, person.accessToken, confirm, { code: "123456" }))).toBe("LG482");
  expect(codeOf(await askWith(api, person.accessToken, activate, { code: "123456" }))).toBe("LG482");
});

test("new recovery codes replace the old ones", async () => {
  const person = await enrolled();
  const { data } = await askWith(api, person.accessToken, renew, { password: person.password });
  const { recoveryCodes } = data.renewRecoveryCodes;
  expect(recoveryCodes).toHaveLength(10);
  expect((await post(api, "login", { ...person, code: person.recoveryCodes[0] })).code).toBe("LG474");
  await signIn(api, person, { code: recoveryCodes[0] });
});
