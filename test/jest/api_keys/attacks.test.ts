import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test } from "@jest/globals";
import { projectRoot } from "../../../src/paths.ts";
import { withClient } from "../../../src/postgres/client.ts";
import { makeTemporaryDirectory } from "../../../src/postgres/secrets.ts";
import { withUrl } from "../../../src/postgres/urls.ts";
import { fieldKeySetting } from "../../support/field_keys.ts";
import { bootApi, secret as jwtSecret } from "../api/_api.ts";
import {
  makeKey,
  type SignedAnswer,
  type SignedOptions,
  sendSigned,
  signatureHeader,
  tenantQuery,
} from "./_partner.ts";

// Ended before the test database looks for open connections: hooks run in this order.
const children = new Set<ChildProcess>();
const dataDir = makeTemporaryDirectory("tallystick-keys-");
afterAll(async () => {
  for (const child of children) {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});
/** What somebody tries who holds a key of other books, an old request, or a part of a right one. */
const api = await bootApi();
const key = await makeKey(api);
const foreignKey = await makeKey(api, {}, api.otherBooks.tenant);
const send = (options?: SignedOptions): Promise<SignedAnswer> => sendSigned(api.url, key, options);
const now = (): number => Math.floor(Date.now() / 1000);
const newNonce = (): string => randomBytes(16).toString("hex");
const count = async (table: string): Promise<number> => {
  const { rows } = await api.db.pool("owner").query(`select count(*)::integer as count from app_private.${table}`);
  return rows[0].count as number;
};

/** Another server on the same database, in a process of its own. */
async function startProcess(): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, ["src/cli/tallystick.mjs", "start", "--only", "api"], {
    cwd: projectRoot,
    env: {
      PATH: process.env["PATH"],
      NODE_ENV: "test",
      PORT: "0",
      TALLYSTICK_DATA_DIR: dataDir,
      TALLYSTICK_JWT_SECRET: jwtSecret,
      TALLYSTICK_FIELD_KEYS: fieldKeySetting("test"),
      TALLYSTICK_API_DATABASE_URL: api.db.urls.api,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  child.once("exit", () => children.delete(child));
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  for (const until = Date.now() + 30_000; !/http:\/\/\S+\/graphql/.test(text); await sleep(20)) {
    if (child.exitCode !== null || Date.now() > until) throw new Error(`It did not start:\n${text}`);
  }
  return { child, url: /http:\/\/\S+\/graphql/.exec(text)?.[0] ?? "" };
}

test("a signed request opens the books of its key", async () => {
  const answer = await send();
  expect([answer.status, answer.data]).toEqual([200, { currentTenant: { slug: "acme" } }]);
  expect((await sendSigned(api.url, foreignKey)).data).toEqual({ currentTenant: { slug: "other" } });
});

test("the name of the header may be written in other letters", async () => {
  for (const headerName of ["authorization", "AUTHORIZATION", "aUtHoRiZaTiOn"]) {
    expect((await send({ headerName })).status).toBe(200);
  }
});

describe("a nonce is taken once", () => {
  test("by one process", async () => {
    const once = { nonce: newNonce(), timestamp: now() };
    expect((await send(once)).status).toBe(200);
    const again = await send(once);
    expect([again.status, again.code]).toEqual([401, "LG423"]);
  });

  test("also with another body, time or path, if they are signed with it", async () => {
    const nonce = newNonce();
    expect((await send({ nonce })).status).toBe(200);
    expect((await send({ nonce, timestamp: now() - 5 })).code).toBe("LG423");
    expect((await send({ nonce, target: "/graphql?x=1" })).code).toBe("LG423");
    expect((await send({ nonce, body: JSON.stringify({ query: "{ __typename }" }) })).code).toBe("LG423");
  });

  test("by all processes together, and after a restart", async () => {
    const once = { nonce: newNonce(), timestamp: now() };
    expect((await send(once)).status).toBe(200);
    const first = await startProcess();
    expect((await sendSigned(first.url, key)).status).toBe(200);
    expect((await sendSigned(first.url, key, once)).code).toBe("LG423");
    const there = { nonce: newNonce(), timestamp: now() };
    expect((await sendSigned(first.url, key, there)).status).toBe(200);
    expect((await send(there)).code).toBe("LG423");
    first.child.kill("SIGKILL");
    await once_(first.child);
    const second = await startProcess();
    expect((await sendSigned(second.url, key, there)).code).toBe("LG423");
    expect((await sendSigned(second.url, key, once)).code).toBe("LG423");
  }, 90_000);

  test("of 32 requests at once with one nonce exactly one is let in", async () => {
    for (let round = 0; round < 3; round += 1) {
      const once = { nonce: newNonce(), timestamp: now() };
      const answers = await Promise.all(Array.from({ length: 32 }, () => send(once)));
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
      expect(answers.filter(({ code }) => code === "LG423")).toHaveLength(31);
    }
  });

  test("so a replayed payment pays once", async () => {
    const payer = await makeKey(api);
    const id = await openFor(payer.userId, "payer");
    const other = await openFor(payer.userId, "payee");
    const once = { nonce: newNonce(), timestamp: now(), body: transferBody(id, other) };
    const answers = await Promise.all(Array.from({ length: 8 }, () => sendSigned(api.url, payer, once)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    const { rows } = await api.db
      .pool("owner")
      .query("select version::integer from app_public.account_balances where account_id = $1", [id]);
    expect(rows).toEqual([{ version: 1 }]);
  });
});

describe("a timestamp", () => {
  test.each([-301, 301, -86_400, 86_400])("%i seconds from now is refused", async (seconds) => {
    const answer = await send({ timestamp: now() + seconds + Math.sign(seconds) });
    expect([answer.status, answer.code]).toEqual([401, "LG422"]);
    expect(Number(answer.errors[0]?.extensions.detail?.["serverTime"])).toBeGreaterThan(now() - 5);
  });
  test.each([-295, 295])("%i seconds from now is taken", async (seconds) => {
    expect((await send({ timestamp: now() + seconds })).status).toBe(200);
  });
});

describe("what was changed after it was signed is refused with LG421:", () => {
  const changed: Record<string, SignedOptions> = {
    "a letter of the body": { signed: { body: tenantQuery.replace("slug", "name") } },
    "a blank behind the body": { body: `${tenantQuery} `, signed: { body: tenantQuery } },
    "the whole body": { body: "", signed: { body: tenantQuery } },
    "the path": { target: "/graphql/", signed: { target: "/graphql" } },
    "a letter of the path": { target: "/Graphql", signed: { target: "/graphql" } },
    "the query of the path": { target: "/graphql?a=1", signed: { target: "/graphql?a=2" } },
    "a query that was added": { target: "/graphql?", signed: { target: "/graphql" } },
    "the way the path is escaped": { target: "/graphql?a=%7e", signed: { target: "/graphql?a=%7E" } },
    "the method": { signed: { method: "PUT" } },
    "the timestamp": { timestamp: now(), signed: { timestamp: String(now() - 1) } },
    "the nonce": { nonce: newNonce(), signed: { nonce: newNonce() } },
    "the last digit of the signature": {
      header: (right) => right.replace(/.$/, (digit) => (digit === "0" ? "1" : "0")),
    },
    "the first digit of the signature": {
      header: (right) => right.replace(/signature=./, (text) => (text.endsWith("0") ? "signature=1" : "signature=0")),
    },
    "the key, to one of other books": { keyId: foreignKey.id },
    "the secret": { secret: `${key.secret}x` },
    "the secret, to that of other books": { secret: foreignKey.secret },
    "the secret, to nothing": { secret: "" },
    "the line breaks between the parts": {
      target: "/graphql?a",
      timestamp: now(),
      signed: { target: "/graphql", timestamp: `?a\n${now()}` },
    },
  };
  test.each(Object.entries(changed))("%s", async (_what, options) => {
    const before = await count("api_key_nonces");
    const answer = await send(options);
    expect([answer.status, answer.code]).toEqual([401, "LG421"]);
    expect(await count("api_key_nonces")).toBe(before);
  });
});

describe("a header that is not exactly one is refused with LG420:", () => {
  const bad: Record<string, (right: string) => string | string[]> = {
    "without key": (right) => right.replace(/key=[^,]*, /, ""),
    "without timestamp": (right) => right.replace(/timestamp=[^,]*, /, ""),
    "without nonce": (right) => right.replace(/nonce=[^,]*, /, ""),
    "without signature": (right) => right.replace(/, signature=.*/, ""),
    "with the signature cut short": (right) => right.slice(0, -2),
    "with more signature": (right) => `${right}00`,
    "with another algorithm": (right) => right.replace("SHA256", "SHA1"),
    "with another version": (right) => right.replace("-V1", "-V2"),
    "twice the same": (right) => [right, right],
    "with a token in front": (right) => [`Bearer ${api.token({})}`, right],
    "with a token behind": (right) => [right, `Bearer ${api.token({})}`],
    "two keys in one": (right) => `${right}, key=${foreignKey.id}`,
  };
  test.each(Object.entries(bad))("%s", async (_what, header) => {
    const answer = await send({ header });
    expect([answer.status, answer.code]).toEqual([401, "LG420"]);
    expect(answer.headers["www-authenticate"]).toBe("Tallystick-HMAC-SHA256-V1");
  });

  test("an absolute URL in the request line", async () => {
    const answer = await send({ target: api.url });
    expect([answer.status, answer.code]).toEqual([401, "LG420"]);
  });
});

describe("who has no secret learns nothing of a key:", () => {
  const unknown = "0199b4c8-7a10-7c3e-9d52-3f0a6b1c2d3e";
  test("a key of these books, one of others, none at all and a session that is no key are answered alike", async () => {
    const answers = [];
    for (const keyId of [key.id, foreignKey.id, unknown, await anySession()]) {
      const { status, text, headers } = await send({ keyId, secret: "tsk_guessed" });
      answers.push({ status, text, headers: Object.keys(headers).sort() });
    }
    expect(answers[0]?.status).toBe(401);
    expect(JSON.parse(answers[0]?.text ?? "")).toEqual({
      errors: [
        {
          message: "The API key or the signature is not right.",
          extensions: {
            code: "LG421",
            name: "signature_refused",
            detail: {},
            hint: expect.any(String),
            isRetryable: false,
          },
        },
      ],
    });
    for (const answer of answers.slice(1)) expect(answer).toEqual(answers[0]);
  });

  test("also while it is revoked or expired", async () => {
    const gone = await makeKey(api);
    await revoke(gone.id);
    expect((await send({ keyId: gone.id, secret: "tsk_guessed" })).code).toBe("LG421");
    expect((await sendSigned(api.url, gone)).code).toBe("LG425");
  });

  test("and fills no table: what comes often from one address is one event that counts", async () => {
    const nonces = await count("api_key_nonces");
    await sleep(1_500);
    const since = new Date();
    for (let n = 0; n < 20; n += 1) await send({ secret: "tsk_guessed" });
    await sleep(1_500);
    const { rows } = await api.db.pool("owner").query(
      `select kind, severity, tenant_id, user_id, host(address) as address, detail -> 'detail' as detail
       from app_private.security_events where at > $1`,
      [since],
    );
    expect(rows.length).toBeLessThan(4);
    expect(rows[0]).toMatchObject({
      kind: "signature_refused",
      severity: "warning",
      tenant_id: null,
      user_id: null,
      address: "127.0.0.1",
      detail: { apiKeyId: key.id },
    });
    expect(rows.reduce((sum, { detail }) => sum + (detail.count ?? 1), 0)).toBe(20);
    expect(await count("api_key_nonces")).toBe(nonces);
  });
});

describe("the end of a key comes at once,", () => {
  test("when it is revoked, for reading and for writing", async () => {
    const gone = await makeKey(api);
    expect((await sendSigned(api.url, gone)).status).toBe(200);
    await revoke(gone.id);
    const answer = await sendSigned(api.url, gone);
    expect([answer.status, answer.code]).toEqual([401, "LG425"]);
  });

  test("when it expires", async () => {
    const gone = await makeKey(api);
    expect((await sendSigned(api.url, gone)).status).toBe(200);
    await api.db.pool("owner").query("update app_private.sessions set expires_at = now() where id = $1", [gone.id]);
    expect((await sendSigned(api.url, gone)).code).toBe("LG425");
  });

  test("when its user is disabled", async () => {
    const gone = await makeKey(api);
    expect((await sendSigned(api.url, gone)).status).toBe(200);
    await api.db
      .pool("owner")
      .query("update app_public.users set status = 'disabled', disabled_at = now() where id = $1", [gone.userId]);
    expect((await sendSigned(api.url, gone)).code).toBe("LG425");
  });

  test("when its secret is replaced without an overlap; the new one counts at once", async () => {
    const rotated = await makeKey(api);
    expect((await sendSigned(api.url, rotated)).status).toBe(200);
    const fresh = await rotate(rotated.id, 0);
    expect((await sendSigned(api.url, { ...rotated, secret: fresh })).status).toBe(200);
    expect((await sendSigned(api.url, rotated)).code).toBe("LG421");
  });

  test("and with an overlap both secrets count until it is over", async () => {
    const rotated = await makeKey(api);
    const fresh = { ...rotated, secret: await rotate(rotated.id, 60) };
    expect((await sendSigned(api.url, rotated)).status).toBe(200);
    expect((await sendSigned(api.url, fresh)).status).toBe(200);
    await api.db
      .pool("owner")
      .query("update app_private.api_key_secrets set expires_at = now() where expires_at > now() and api_key_id = $1", [
        rotated.id,
      ]);
    // The server still has the old secret in memory; the database says that it no longer counts.
    expect((await sendSigned(api.url, rotated)).code).toBe("LG421");
    expect((await sendSigned(api.url, fresh)).status).toBe(200);
  });
});

test("a secret that is rotated elsewhere is found at once, whatever is in memory", async () => {
  const rotated = await makeKey(api);
  const other = await startProcess();
  expect((await sendSigned(other.url, rotated)).status).toBe(200);
  const fresh = { ...rotated, secret: await rotate(rotated.id, 0) };
  expect((await sendSigned(other.url, fresh)).status).toBe(200);
  expect((await sendSigned(other.url, rotated)).code).toBe("LG421");
}, 60_000);

describe("the body", () => {
  test("is verified before it is read as JSON", async () => {
    expect((await send({ body: "{ no JSON", signed: { body: "{ other" } })).code).toBe("LG421");
    const signed = await send({ body: "{ no JSON" });
    expect([signed.status, signed.code]).toEqual([400, "BAD_REQUEST"]);
  });
  test("may be empty: then nothing is asked", async () => {
    expect((await send({ body: "" })).code).toBe("BAD_REQUEST");
  });
  test("is limited as for everyone", async () => {
    const answer = await send({ body: JSON.stringify({ query: " ".repeat(2_000_001) }) });
    expect([answer.status, answer.code]).toEqual([413, "LG164"]);
  });
  test("is JSON, as for everyone", async () => {
    const answer = await send({ contentType: "text/plain" });
    expect(answer.status).toBe(415);
  });
  test("is not compressed", async () => {
    expect((await send({ headers: { "Content-Encoding": "gzip" } })).status).toBe(415);
  });
  test("holds any text", async () => {
    const body = JSON.stringify({
      query: 'query ($code: String!) { accountByCode(code: $code, currency: "USD") { id } }',
      variables: { code: "Zürich – 東京 🏦" },
    });
    expect((await send({ body })).data).toEqual({ accountByCode: null });
  });
});

test("a key does not open a web socket, nor is it a token", async () => {
  const answer = await api.send(tenantQuery, { authorization: `Bearer ${key.secret}` });
  expect([answer.status, answer.errors[0]?.extensions.code]).toEqual([401, "LG460"]);
  const { default: WebSocket } = await import("ws");
  const socket = new WebSocket(api.url.replace("http", "ws"), "graphql-transport-ws");
  await once(socket, "open");
  socket.send(JSON.stringify({ type: "connection_init", payload: { authorization: signatureHeader(key) } }));
  const [code, reason] = (await once(socket, "close")) as [number, Buffer];
  expect([code, reason.toString()]).toEqual([4403, expect.stringContaining("LG460")]);
});

test("while the database is away the answer is 503 and LG363; then the same key works", async () => {
  const { name, urls } = api.db;
  await withClient(withUrl(urls.superuser, { database: "postgres" }), async (admin) => {
    await admin.query(`alter database ${name} connection limit 0`);
    await admin.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and usename = 'tallystick_api'",
      [name],
    );
    const answer = await send().finally(() => admin.query(`alter database ${name} connection limit -1`));
    // What the server wrote about it is shown should this fail: no error of a lost connection is an internal one.
    expect([answer.status, answer.code, answer.status === 503 ? "" : api.log().slice(-2000)]).toEqual([
      503,
      "LG363",
      "",
    ]);
    expect(answer.errors[0]?.extensions.isRetryable).toBe(true);
  });
  expect((await send()).status).toBe(200);
});

test("neither a secret nor a signature is in the log", async () => {
  const header = signatureHeader(key);
  await send({ header: () => header });
  expect(api.log()).toContain('"role":"partner"');
  expect(api.log()).not.toContain(key.secret);
  expect(api.log()).not.toContain(header.slice(-64));
});

test("nor in the database", async () => {
  const { rows } = await api.db
    .pool("owner")
    .query("select string_agg(s::text, ' ') as text from app_private.api_key_secrets s");
  expect(rows[0].text).not.toContain(Buffer.from(key.secret).toString("hex"));
  expect(rows[0].text).toContain(key.id);
});

async function openFor(userId: string, code: string): Promise<string> {
  const { openAccount } = await api.get(
    `mutation ($owner: UUID!, $code: String!) { openAccount(input: {
       code: $code, name: "n", type: LIABILITY, currency: "USD", ownerId: $owner }) { account { id } } }`,
    { owner: userId, code },
  );
  return openAccount.account.id;
}

function transferBody(debit: string, credit: string): string {
  return JSON.stringify({
    query: `mutation ($t: TransactionInput!) {
      postTransaction(input: { transaction: $t }) { result { transactionId } } }`,
    variables: {
      t: {
        postings: [
          { accountId: debit, direction: "DEBIT", amount: "1" },
          { accountId: credit, direction: "CREDIT", amount: "1" },
        ],
      },
    },
  });
}

async function revoke(id: string): Promise<void> {
  await api.get("mutation ($id: UUID!) { revokeApiKey(input: { id: $id }) { apiKey { status } } }", { id });
}

async function rotate(id: string, overlapSeconds: number): Promise<string> {
  const { rotateApiKey } = await api.get(
    "mutation ($input: RotateApiKeyInput!) { rotateApiKey(input: $input) { secret apiKey { id rotatedAt } } }",
    { input: { id, overlapSeconds } },
  );
  return rotateApiKey.secret;
}

async function anySession(): Promise<string> {
  const { rows } = await api.db.pool("owner").query("select id from app_private.sessions where kind = 'login' limit 1");
  return rows[0].id as string;
}

async function once_(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}
