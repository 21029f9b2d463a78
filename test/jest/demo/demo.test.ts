import { expect, test } from "@jest/globals";
import { pino } from "pino";
import { startApi } from "../../../src/api.ts";
import { loadConfig } from "../../../src/config.ts";
import { newKeyRing } from "../../../src/crypto/keys.ts";
import { demoOperator, demoPassword, demoPeople } from "../../../src/demo/people.ts";
import { refuseDemoPeople } from "../../../src/demo/refuse_demo.ts";
import { welcome } from "../../../src/demo/welcome.ts";
import { tokenKeysOf } from "../../../src/http/token_keys.ts";
import { demoSecret, seedTestDemo } from "../../support/demo.ts";
import { bootApi, secret } from "../api/_api.ts";

/* What `npm start` prints is good: who signs in with it is what the line says. */
const api = await bootApi();
const apiPool = api.db.pool("api");

test("without the demonstration nothing is refused", async () => {
  await expect(refuseDemoPeople(apiPool)).resolves.toBeUndefined();
});

test("each person of each role signs in with the password that is printed", async () => {
  await seedTestDemo(api.db);
  const lines = await api.db.withClient("owner", async (client) => {
    const { rows } = await client.query<{ id: number }>("select id from app_public.tenants where slug = 'demo'");
    const config = loadConfig({
      NODE_ENV: "test",
      TALLYSTICK_JWT_SECRET: secret,
      TALLYSTICK_FIELD_KEYS: newKeyRing("x"),
    });
    const options = { apiUrl: api.url, keys: tokenKeysOf(config), tenantId: Number(rows[0]?.id), secret: demoSecret };
    return welcome(client, options);
  });
  const printed = lines.flatMap((line) =>
    [...(/^ {2}(\w+) +(\S+@demo\.example) +(\S+)$/.exec(line) ?? [])].slice(1, 4),
  );
  expect(printed).toHaveLength(3 * 6);
  for (let at = 0; at < printed.length; at += 3) {
    const [role, email, password] = printed.slice(at, at + 3);
    const { login } = await api.get(
      `mutation ($email: String!, $password: String!) { login(input: { email: $email, password: $password }) {
        signedIn { role tenant accessToken } } }`,
      { email, password },
      { role: "anonymous" },
    );
    expect(login.signedIn).toMatchObject({
      role: role?.toUpperCase(),
      tenant: role === "operator" ? null : "demo",
    });
    const { tenants } = await api.get(
      "{ tenants { nodes { slug } } }",
      {},
      {
        authorization: `Bearer ${login.signedIn.accessToken}`,
      },
    );
    expect(tenants.nodes.length).toBe(role === "operator" ? 3 : 1);
  }
});

test("the passwords are others for another secret, and for another person", () => {
  const people = [...Object.values(demoPeople), demoOperator];
  const passwords = ["one", "other"].flatMap((text) => people.map((person) => demoPassword(text, person)));
  expect(new Set(passwords).size).toBe(12);
  for (const password of passwords) expect(password).toMatch(/^([0-9a-f]{4}-){3}[0-9a-f]{4}$/);
});

test("a server in production does not start on the database of the demonstration", async () => {
  const config = loadConfig({
    NODE_ENV: "test",
    TALLYSTICK_JWT_SECRET: secret,
    TALLYSTICK_FIELD_KEYS: newKeyRing("x"),
    PORT: "0",
  });
  const log = pino({ level: "silent" });
  const production = { ...config, environment: "production" as const, allowAnyOperation: true };
  const start = startApi({ config: production, databaseUrl: api.db.urls.api, log });
  await expect(start).rejects.toThrow("people of the demonstration can sign in to this database");
});

test("nor while a single one of them could sign in; once all are disabled it does", async () => {
  const people = [...Object.values(demoPeople), demoOperator];
  for (const { userId } of people) {
    await expect(refuseDemoPeople(apiPool)).rejects.toThrow("demonstration");
    await api.db.withClient("superuser", (client) =>
      client.query(
        `set session_replication_role = replica;
         update app_public.users set status = 'disabled', disabled_at = now() where id = '${userId}'`,
      ),
    );
  }
  await expect(refuseDemoPeople(apiPool)).resolves.toBeUndefined();
});
