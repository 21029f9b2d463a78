import { beforeEach, describe, expect, test } from "@jest/globals";
import { userEmailIndex } from "../../../src/crypto/user_contacts.ts";
import { makePasswords } from "../../../src/identity/passwords.ts";
import { bootApi } from "../api/_api.ts";
import { askWith, codeOf, forgetAttempts, keys, makePerson, post, securityEvents, signIn } from "./_people.ts";

/* Signing in with a password: over REST and GraphQL, which are two ways to one implementation. */
const api = await bootApi();
const { books, otherBooks, db } = api;
const login = /* GraphQL */ `
  mutation ($input: LoginInput!) {
    login(input: $input) {
      signedIn { accessToken expiresIn refreshToken refreshTokenExpiresAt userId sessionId tenant role secondFactorAt }
      choices { tenant name role }
    }
  }
`;
const who = "{ currentTenant { slug } ownSessions { tenantName role address userAgent isCurrent } }";

beforeEach(() => forgetAttempts(db));

describe("with the right password", () => {
  test("a member gets a session, whose tokens work", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const { status, headers, body } = await post(api, "login", ann, { "user-agent": "the tests" });
    expect(status).toBe(200);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(body).toEqual({
      tokenType: "Bearer",
      accessToken: expect.any(String),
      expiresIn: 600,
      refreshToken: expect.stringMatching(/^[\w-]{43}$/),
      refreshTokenExpiresAt: expect.any(String),
      userId: ann.userId,
      sessionId: expect.any(String),
      tenant: "acme",
      role: "teller",
      secondFactorAt: null,
    });
    const answer = await askWith(api, body.accessToken, who);
    expect(answer.data).toEqual({
      currentTenant: { slug: "acme" },
      ownSessions: [
        { tenantName: "acme", role: "TELLER", address: "127.0.0.1", userAgent: "the tests", isCurrent: true },
      ],
    });
    expect(await securityEvents(db, ann.userId)).toEqual(["signed_in info"]);
  });

  test("GraphQL answers the same", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const { email, password } = ann;
    const { data } = await api.ask(login, { input: { email, password } }, { role: "anonymous" });
    expect(data.login.choices).toBeNull();
    expect(data.login.signedIn).toMatchObject({ userId: ann.userId, tenant: "acme", role: "TELLER", expiresIn: 600 });
    expect((await askWith(api, data.login.signedIn.accessToken, who)).data.currentTenant).toEqual({ slug: "acme" });
  });

  test("the address is taken in any case, with blanks around it", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    await signIn(api, { ...ann, email: ` ${ann.email.toUpperCase()} ` });
  });

  test("who belongs to several books is told which, and then names one", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller", [otherBooks.tenant]: "auditor" } });
    const answer = await post(api, "login", ann);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      tenants: [
        { tenant: "acme", name: "acme", role: "teller" },
        { tenant: "other", name: "other", role: "auditor" },
      ],
    });
    const { accessToken } = await signIn(api, ann, { tenant: "other" });
    expect((await askWith(api, accessToken, who)).data.currentTenant).toEqual({ slug: "other" });
  });

  test("books of others are as if they did not exist", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const others = await post(api, "login", { ...ann, tenant: "other" });
    const none = await post(api, "login", { ...ann, tenant: "no such books" });
    expect([others.status, others.code]).toEqual([403, "LG472"]);
    expect(others.body).toEqual(none.body);
  });

  test("an operator signs in to no books", async () => {
    const operator = await makePerson(db, { isOperator: true, roles: { [books.tenant]: "auditor" } });
    const { body } = await post(api, "login", operator);
    expect(body).toMatchObject({ tenant: null, role: "operator" });
    expect((await post(api, "login", { ...operator, tenant: "acme" })).body).toMatchObject({ role: "auditor" });
  });

  test("who is disabled, in the books or altogether, does not sign in", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    await db.withClient("owner", (client) =>
      client.query("update app_public.memberships set status = 'disabled' where user_id = $1", [ann.userId]),
    );
    expect((await post(api, "login", ann)).code).toBe("LG472");
    await db.withClient("owner", (client) =>
      client.query("update app_public.users set status = 'disabled', disabled_at = now() where id = $1", [ann.userId]),
    );
    expect((await post(api, "login", ann)).code).toBe("LG470");
  });

  test("a hash of another cost is made anew", async () => {
    const old = makePasswords({ cost: { memoryKib: 32, passes: 1 }, gate: (work) => work() });
    const password = "correct horse battery";
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" }, hash: await old.hash(password) });
    const hashOf = () =>
      db.withClient("superuser", async (client) => {
        const { rows } = await client.query("select password_hash from app_private.credentials where user_id = $1", [
          ann.userId,
        ]);
        return rows[0].password_hash as string;
      });
    expect(await hashOf()).toContain("m=32,t=1");
    await signIn(api, ann);
    const renewed = await hashOf();
    expect(renewed).toContain("m=64,t=1");
    await signIn(api, ann);
    expect(await hashOf()).toBe(renewed);
  });
});

describe("what is wrong", () => {
  test("is answered alike for a wrong password and an address that nobody has", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const wrong = await post(api, "login", { ...ann, password: "not her password" });
    const nobody = await post(api, "login", { email: "nobody@example.com", password: "not her password" });
    expect([wrong.status, wrong.code]).toEqual([401, "LG470"]);
    expect(nobody.status).toBe(401);
    expect(nobody.body).toEqual(wrong.body);
    const names = (headers: Headers): string[] => [...headers.keys()].sort();
    expect(names(nobody.headers)).toEqual(names(wrong.headers));
    expect(await securityEvents(db, ann.userId)).toEqual(["sign_in_failed notice"]);
  });

  test("is not told apart by naming books, or a code", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    for (const more of [{ tenant: "acme" }, { tenant: "nowhere" }, { code: "123456" }]) {
      expect((await post(api, "login", { ...ann, password: "not her password", ...more })).code).toBe("LG470");
    }
  });

  test.each([
    ["no address", { password: "x" }],
    ["an address that is none", { email: "ann", password: "x" }],
    ["no password", { email: "ann@example.com" }],
    ["a list for a password", { email: "ann@example.com", password: ["x"] }],
    ["nothing", {}],
    ["no object", "[]"],
  ])("with %s is LG160", async (_name, body) => {
    const answer = await post(api, "login", body);
    expect([answer.status, answer.code]).toEqual([400, "LG160"]);
  });

  test("as a form, which another page could send, is not read", async () => {
    const answer = await post(api, "login", "email=ann%40example.com&password=x", {
      "content-type": "application/x-www-form-urlencoded",
    });
    expect(answer.status).toBe(415);
  });

  test("is not JSON, or too large", async () => {
    expect((await post(api, "login", "{")).status).toBe(400);
    expect((await post(api, "login", { email: "x".repeat(5_000), password: "x" })).code).toBe("LG160");
    expect((await post(api, "login", { email: "x".repeat(3_000_000) })).status).toBe(413);
  });

  test("GET is not taken, and other routes are not there", async () => {
    const origin = new URL(api.url).origin;
    expect((await fetch(`${origin}/api/v1/auth/login`)).status).toBe(405);
    expect((await post(api, "nothing", {})).status).toBe(404);
  });
});

describe("guessing", () => {
  const guess = (email: string) => post(api, "login", { email, password: "just a guess 123" });

  test("is stopped for an account, with a pause that doubles, and the right password has to wait too", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const codes: (string | undefined)[] = [];
    for (let attempt = 0; attempt < 13; attempt += 1) codes.push((await guess(ann.email)).code);
    expect(codes).toEqual([...Array.from({ length: 11 }, () => "LG470"), "LG471", "LG471"]);
    const locked = await post(api, "login", ann);
    expect([locked.status, locked.code]).toEqual([429, "LG471"]);
    expect(Number(locked.headers.get("retry-after"))).toBe(1);
    await new Promise((done) => setTimeout(done, 1_050));
    expect((await guess(ann.email)).code).toBe("LG470");
    expect(Number((await guess(ann.email)).headers.get("retry-after"))).toBe(2);
    await new Promise((done) => setTimeout(done, 2_050));
    await signIn(api, ann);
    expect((await guess(ann.email)).code).toBe("LG470");
  });

  test("is stopped in the same way where nobody has the address", async () => {
    const codes: (string | undefined)[] = [];
    for (let attempt = 0; attempt < 13; attempt += 1) codes.push((await guess("nobody@example.com")).code);
    expect(codes).toEqual([...Array.from({ length: 11 }, () => "LG470"), "LG471", "LG471"]);
  });

  test("forty at once are no more than eleven", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const answers = await Promise.all(Array.from({ length: 40 }, () => guess(ann.email)));
    expect(answers.filter(({ code }) => code === "LG470").length).toBe(11);
    expect(answers.filter(({ code }) => code === "LG471").length).toBe(29);
  });

  test("is stopped for an address that tries many accounts", async () => {
    const answers = [];
    for (let attempt = 0; attempt < 53; attempt += 1) answers.push((await guess(`nobody${attempt}@example.com`)).code);
    expect(answers.filter((code) => code === "LG470").length).toBe(51);
    expect(answers.slice(51)).toEqual(["LG471", "LG471"]);
  });

  test("of a stranger does not lock out who signed in from here before", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    await signIn(api, ann);
    const index = await userEmailIndex(keys, ann.email);
    await db.withClient("owner", (client) =>
      client.query(
        `insert into app_private.authentication_attempts values ('account', $1, 99, now(), now() + interval '1 hour')`,
        [index],
      ),
    );
    await signIn(api, ann);
  });

  test("a login that ends and one that begins do not wait for each other in a circle", async () => {
    const ann = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const index = await userEmailIndex(keys, ann.email);
    const owner = db.pool("owner");
    const [beginning, ending] = [await owner.connect(), await owner.connect()];
    const charge = (kind: string, subject: string) =>
      beginning.query(`select app_private.charge_attempt($1, ${subject})`, [kind]);
    const [byAddress, byAccount] = ["app_private.address_subject('192.0.2.7')", `'\\x${index.toString("hex")}'::bytea`];
    try {
      await ending.query("select set_config('tallystick.address', '192.0.2.7', false)");
      await charge("address", byAddress);
      await charge("account", byAccount);
      await beginning.query("begin");
      await charge("address", byAddress);
      const opened = ending.query(
        `select l.outcome from app_private.credentials c
         cross join lateral app_hidden.open_login(
           $1, c.user_id, c.password_hash, 'acme', null, null, sha256($1), interval '1 hour', null, null) l
         where c.user_id = $2`,
        [index, ann.userId],
      );
      await new Promise((done) => setTimeout(done, 200));
      await charge("account", byAccount);
      await beginning.query("commit");
      expect((await opened).rows).toEqual([{ outcome: "opened" }]);
    } finally {
      await ending.query("reset all");
      beginning.release();
      ending.release();
    }
  });

  test("many who sign in at once from one address are let in", async () => {
    const people = [];
    for (let index = 0; index < 50; index += 1)
      people.push(await makePerson(db, { roles: { [books.tenant]: "teller" } }));
    const answers = await Promise.all(people.map((person) => post(api, "login", person)));
    expect(answers.map(({ status }) => status)).toEqual(people.map(() => 200));
  });
});

test("no password, address or token is in the log or in the database", async () => {
  const ann = await makePerson(db, { roles: { [books.tenant]: "teller" }, password: "a secret nobody knows" });
  const { accessToken, refreshToken } = await signIn(api, ann);
  await post(api, "login", { ...ann, password: "another secret of hers" });
  await post(api, "refresh", { refreshToken });
  const dump = await db.withClient("superuser", async (client) => {
    const { rows: tables } = await client.query<{ name: string }>(
      `select c.oid::regclass::text as name from pg_class c
       where c.relkind = 'r' and c.relnamespace::regnamespace::text in ('app_public', 'app_hidden', 'app_private')`,
    );
    const texts: string[] = [];
    for (const { name } of tables) {
      const { rows } = await client.query<{ text: string }>(`select t::text as text from ${name} t`);
      texts.push(...rows.map(({ text }) => text));
    }
    return texts.join("\n");
  });
  const hexadecimal = (text: string): string => Buffer.from(text).toString("hex");
  for (const secret of [
    ann.email,
    ann.email.toLowerCase(),
    ann.password,
    "another secret of hers",
    refreshToken,
    accessToken,
  ]) {
    expect(dump).not.toContain(secret);
    expect(dump).not.toContain(hexadecimal(secret));
    expect(api.log()).not.toContain(secret);
  }
  expect(dump).not.toContain(Buffer.from(refreshToken, "base64url").toString("hex"));
  expect(codeOf(await askWith(api, accessToken, "{ currentTenant { slug } }"))).toBeUndefined();
});
