import { createHash } from "node:crypto";
import { beforeEach, describe, expect, test } from "@jest/globals";
import type pg from "pg";
import { bootApi, postMutation, transfer } from "../api/_api.ts";
import { askWith, codeOf, forgetAttempts, makePerson, post, securityEvents, signIn } from "./_people.ts";

/* Sessions: refreshing them, and ending them. */
const api = await bootApi();
const { books, otherBooks, db } = api;
const refresh = (refreshToken: string) => post(api, "refresh", { refreshToken });

beforeEach(() => forgetAttempts(db));

async function teller() {
  const person = await makePerson(db, { roles: { [books.tenant]: "teller" } });
  return { ...person, ...(await signIn(api, person)) };
}

const postWith = (accessToken: string) =>
  askWith(api, accessToken, postMutation, transfer(books.cash, books.sales, "1"));

/** Makes it look as if the token had been used some seconds ago. */
async function age(sessionId: string, seconds: number): Promise<void> {
  await db.withClient("owner", (client) =>
    client.query(
      `update app_private.refresh_tokens set used_at = used_at - make_interval(secs => $2) where session_id = $1`,
      [sessionId, seconds],
    ),
  );
}

describe("a refresh token", () => {
  test("is exchanged for a new one, and a new access token of the same session", async () => {
    const ann = await teller();
    const first = await refresh(ann.refreshToken);
    expect(first.status).toBe(200);
    expect(first.body).toMatchObject({ sessionId: ann.sessionId, tenant: "acme", role: "teller", userId: ann.userId });
    expect(first.body.refreshToken).not.toBe(ann.refreshToken);
    expect((await postWith(first.body.accessToken)).errors).toEqual([]);
    const second = await refresh(first.body.refreshToken);
    expect(second.status).toBe(200);
    expect(new Set([ann.refreshToken, first.body.refreshToken, second.body.refreshToken]).size).toBe(3);
  });

  test("works over GraphQL too", async () => {
    const ann = await teller();
    const mutation =
      "mutation ($input: RefreshInput!) { refresh(input: $input) { signedIn { sessionId refreshToken } } }";
    const { data } = await api.ask(mutation, { input: { refreshToken: ann.refreshToken } }, { role: "anonymous" });
    expect(data.refresh.signedIn.sessionId).toBe(ann.sessionId);
    expect((await refresh(data.refresh.signedIn.refreshToken)).status).toBe(200);
  });

  test("that is used again later ends the session, for the thief and for its owner, and raises an alert", async () => {
    const ann = await teller();
    const { body } = await refresh(ann.refreshToken);
    await age(ann.sessionId, 11);
    const thief = await refresh(ann.refreshToken);
    expect([thief.status, thief.code]).toEqual([401, "LG478"]);
    expect((await refresh(body.refreshToken)).code).toBe("LG478");
    expect(codeOf(await postWith(body.accessToken))).toBe("LG401");
    const events = await securityEvents(db, ann.userId);
    expect(events.filter((event) => /refresh/.test(event))).toEqual(["refresh_token_reused critical"]);
    expect(api.log()).toContain("used a second time");
  });

  test("that is used again at once is answered with the same successor", async () => {
    const ann = await teller();
    const first = await refresh(ann.refreshToken);
    const again = await refresh(ann.refreshToken);
    expect(again.status).toBe(200);
    expect(again.body.refreshToken).toBe(first.body.refreshToken);
    expect((await refresh(again.body.refreshToken)).status).toBe(200);
  });

  test("that is used again at once, but after its successor, ends the session", async () => {
    const ann = await teller();
    const first = await refresh(ann.refreshToken);
    await refresh(first.body.refreshToken);
    expect((await refresh(ann.refreshToken)).code).toBe("LG478");
    expect(codeOf(await postWith(first.body.accessToken))).toBe("LG401");
  });

  test("that many use at once has one successor: the family does not fork", async () => {
    const ann = await teller();
    const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(ann.refreshToken)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(new Set(answers.map(({ body }) => body.refreshToken)).size).toBe(1);
    const { rows } = await db.withClient("superuser", (client) =>
      client.query(
        "select used_at is null as unused from app_private.refresh_tokens where session_id = $1 order by 1",
        [ann.sessionId],
      ),
    );
    expect(rows).toEqual([{ unused: false }, { unused: true }]);
  });

  test("waits for another use of it that is under way, and then is answered with its successor", async () => {
    const ann = await teller();
    const token = createHash("sha256").update(ann.refreshToken).digest();
    const hash = (name: string): Buffer => createHash("sha256").update(name).digest();
    const rotate = async (client: pg.PoolClient, name: string): Promise<{ outcome: string; known: Buffer | null }> => {
      const { rows } = await client.query(
        `select outcome, known_successor as known
         from app_hidden.rotate_refresh_token($1, $2, $3, interval '1 hour')`,
        [token, hash(`${name} ${ann.userId}`), hash(name)],
      );
      return rows[0];
    };
    const owner = db.pool("owner");
    const [first, second] = [await owner.connect(), await owner.connect()];
    try {
      await first.query("begin");
      expect((await rotate(first, "first")).outcome).toBe("rotated");
      const other = rotate(second, "second");
      const early = await Promise.race([other, new Promise((done) => setTimeout(() => done("waits"), 300))]);
      expect(early).toBe("waits");
      await first.query("commit");
      expect(await other).toEqual({ outcome: "repeated", known: hash("first") });
    } finally {
      first.release();
      second.release();
    }
  });

  test.each([
    ["that is none", "x"],
    ["that nobody was given", "A".repeat(43)],
  ])("%s is refused", async (_name, token) => {
    const answer = await refresh(token);
    expect([answer.status, answer.code]).toEqual([401, "LG478"]);
  });

  test("is no good without one, nor when it has expired", async () => {
    expect((await post(api, "refresh", {})).code).toBe("LG478");
    const ann = await teller();
    await db.withClient("owner", (client) =>
      client.query("update app_private.refresh_tokens set expires_at = now() where session_id = $1", [ann.sessionId]),
    );
    expect((await refresh(ann.refreshToken)).code).toBe("LG478");
  });

  test("does not take a session beyond the time that the tenant allows", async () => {
    const ann = await teller();
    const set = (seconds: number) =>
      db.withClient("owner", (client) =>
        client.query("update app_public.tenants set session_lifetime_seconds = $1 where id = $2", [
          seconds,
          books.tenant,
        ]),
      );
    const left = ({ body }: Awaited<ReturnType<typeof refresh>>): number =>
      Math.round((Date.parse(body.refreshTokenExpiresAt) - Date.now()) / 60_000);
    await set(3600);
    try {
      const first = await refresh(ann.refreshToken);
      expect(left(first)).toBe(60);
      await db.withClient("owner", (client) =>
        client.query("update app_private.sessions set created_at = created_at - interval '56 minutes' where id = $1", [
          ann.sessionId,
        ]),
      );
      const second = await refresh(first.body.refreshToken);
      expect(left(second)).toBe(4);
      expect(second.body.expiresIn).toBeLessThanOrEqual(240);
      await set(300);
      expect((await refresh(second.body.refreshToken)).code).toBe("LG478");
    } finally {
      await set(2_592_000);
    }
  });

  test("may be a cookie, which no script and no other site reaches", async () => {
    const person = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const answer = await post(api, "login", { ...person, cookie: true });
    expect(answer.body.refreshToken).toBeUndefined();
    const cookie = answer.headers.get("set-cookie") ?? "";
    const [pair = "", ...attributes] = cookie.split("; ");
    expect(pair).toMatch(/^__Secure-tallystick-refresh=[\w-]{43}$/);
    expect(attributes).toEqual(expect.arrayContaining(["HttpOnly", "Secure", "SameSite=Strict", "Path=/api/v1/auth"]));
    const next = await post(api, "refresh", {}, { cookie: `other=1; ${pair}` });
    expect(next.status).toBe(200);
    expect(next.body.refreshToken).toBeUndefined();
    const [nextPair = ""] = (next.headers.get("set-cookie") ?? "").split("; ");
    expect(nextPair).not.toBe(pair);
    const out = await post(api, "logout", {}, { cookie: nextPair });
    expect(out.status).toBe(204);
    expect(out.headers.get("set-cookie")).toMatch(/^__Secure-tallystick-refresh=;.*Expires=Thu, 01 Jan 1970/);
    expect((await post(api, "refresh", {}, { cookie: nextPair })).code).toBe("LG478");
  });
});

describe("a session ends at once, whatever its access token says,", () => {
  const refused = async (accessToken: string): Promise<void> => {
    expect(codeOf(await postWith(accessToken))).toBe("LG401");
  };

  test("by logout with the refresh token", async () => {
    const ann = await teller();
    expect((await postWith(ann.accessToken)).errors).toEqual([]);
    expect((await post(api, "logout", { refreshToken: ann.refreshToken })).status).toBe(204);
    await refused(ann.accessToken);
    expect((await refresh(ann.refreshToken)).code).toBe("LG478");
  });

  test("by logout with the access token, over REST and GraphQL", async () => {
    const ann = await teller();
    const authorization = `Bearer ${ann.accessToken}`;
    expect((await post(api, "logout", {}, { authorization })).status).toBe(204);
    await refused(ann.accessToken);
    const bob = await teller();
    const { data } = await askWith(api, bob.accessToken, "mutation { logout(input: {}) { isDone } }");
    expect(data).toEqual({ logout: { isDone: true } });
    await refused(bob.accessToken);
  });

  test("and a token that is none ends no other session instead", async () => {
    const ann = await teller();
    const authorization = `Bearer ${ann.accessToken}`;
    expect((await post(api, "logout", { refreshToken: "nonsense" }, { authorization })).status).toBe(204);
    expect((await postWith(ann.accessToken)).errors).toEqual([]);
  });

  test("by its person, from another one", async () => {
    const person = await makePerson(db, { roles: { [books.tenant]: "teller" } });
    const [here, there, elsewhere] = [await signIn(api, person), await signIn(api, person), await signIn(api, person)];
    const list = async () =>
      (await askWith(api, here.accessToken, "{ ownSessions { id isCurrent } }")).data.ownSessions;
    expect(await list()).toHaveLength(3);
    const revoke = "mutation ($id: UUID!) { revokeSession(input: { id: $id }) { isRevoked } }";
    const { data } = await askWith(api, here.accessToken, revoke, { id: there.sessionId });
    expect(data.revokeSession.isRevoked).toBe(true);
    await refused(there.accessToken);
    expect((await refresh(there.refreshToken)).code).toBe("LG478");
    const others = await askWith(api, here.accessToken, "mutation { revokeOtherSessions(input: {}) { revoked } }");
    expect(others.data.revokeOtherSessions.revoked).toBe(1);
    await refused(elsewhere.accessToken);
    expect(await list()).toEqual([{ id: here.sessionId, isCurrent: true }]);
  });

  test("but nobody ends the session of somebody else", async () => {
    const [ann, bob] = [await teller(), await teller()];
    const revoke = "mutation ($id: UUID!) { revokeSession(input: { id: $id }) { isRevoked } }";
    const { data } = await askWith(api, bob.accessToken, revoke, { id: ann.sessionId });
    expect(data.revokeSession.isRevoked).toBe(false);
    expect((await postWith(ann.accessToken)).errors).toEqual([]);
  });

  test("by an admin of the books, in these books alone", async () => {
    const person = await makePerson(db, { roles: { [books.tenant]: "teller", [otherBooks.tenant]: "teller" } });
    const here = await signIn(api, person, { tenant: "acme" });
    const other = await signIn(api, person, { tenant: "other" });
    const revoke = "mutation ($userId: UUID!) { revokeMemberSessions(input: { userId: $userId }) { revoked } }";
    const variables = { userId: person.userId };
    expect(codeOf(await api.ask(revoke, variables, { role: "teller" }))).toBe("LG402");
    expect((await api.get(revoke, variables)).revokeMemberSessions.revoked).toBe(1);
    await refused(here.accessToken);
    const elsewhere = transfer(otherBooks.cash, otherBooks.sales, "1");
    expect((await askWith(api, other.accessToken, postMutation, elsewhere)).errors).toEqual([]);
    expect((await api.get(revoke, { userId: api.books.customer })).revokeMemberSessions.revoked).toBe(0);
  });

  test("when the membership ends", async () => {
    const ann = await teller();
    await db.withClient("owner", (client) =>
      client.query("update app_public.memberships set status = 'disabled' where user_id = $1", [ann.userId]),
    );
    await refused(ann.accessToken);
    expect((await refresh(ann.refreshToken)).code).toBe("LG478");
  });
});
