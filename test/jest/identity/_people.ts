import type pg from "pg";
import { sealUserEmail } from "../../../src/crypto/user_contacts.ts";
import { makePasswords } from "../../../src/identity/passwords.ts";
import { newId } from "../../../src/random.ts";
import { fieldKeys } from "../../support/field_keys.ts";
import type { TestDatabase } from "../../support/test_database.ts";
import type { Answer, TestApi } from "../api/_api.ts";

/** The keys that `bootApi` gives the server. */
export const keys = fieldKeys("test");

export interface Person {
  userId: string;
  email: string;
  password: string;
}

const cheap = makePasswords({ cost: { memoryKib: 64, passes: 1 }, gate: (work) => work() });
let count = 0;

export interface PersonOptions {
  /** What the person is to which tenants. */
  roles?: Record<number, string>;
  isOperator?: boolean;
  password?: string;
  /** Default: one that nobody has. */
  email?: string;
  /** Instead of the hash of the password at the cost of the tests. */
  hash?: string;
}

/** A person with an address and a password, as registering leaves them. */
export async function makePerson(db: TestDatabase, options: PersonOptions = {}): Promise<Person> {
  count += 1;
  const { roles = {}, isOperator = false, password = "correct horse battery" } = options;
  const person = { userId: newId(), email: options.email ?? `Person.${count}@example.com`, password };
  const { ciphertext, index } = await sealUserEmail(keys, person.userId, person.email);
  const hash = options.hash ?? (await cheap.hash(password));
  await db.withClient("owner", async (client) => {
    await client.query("insert into app_public.users (id, name) values ($1, $2)", [person.userId, "A person"]);
    await client.query("select app_private.set_user_email($1, $2, $3)", [person.userId, ciphertext, index]);
    await client.query("insert into app_private.credentials (user_id, password_hash) values ($1, $2)", [
      person.userId,
      hash,
    ]);
    for (const [tenant, role] of Object.entries(roles)) await addMember(client, Number(tenant), person.userId, role);
    if (isOperator) await client.query("insert into app_private.operators (user_id) values ($1)", [person.userId]);
  });
  return person;
}

async function addMember(client: pg.Client, tenantId: number, userId: string, role: string): Promise<void> {
  await client.query("insert into app_public.memberships (tenant_id, user_id, role) values ($1, $2, $3)", [
    tenantId,
    userId,
    role,
  ]);
}

export interface RestAnswer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the shape of what it asked for.
  body: any;
  /** The code of the error, if there is one. */
  code: string | undefined;
}

/** Sends a request to one of the routes for signing in. */
export async function post(
  api: TestApi,
  route: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<RestAnswer> {
  const response = await fetch(`${new URL(api.url).origin}/api/v1/auth/${route}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  const parsed = text === "" ? undefined : JSON.parse(text);
  const code = parsed?.errors?.[0]?.extensions?.code as string | undefined;
  return { status: response.status, headers: response.headers, body: parsed, code };
}

/** Signs in over REST; fails unless that opens a session. */
export async function signIn(
  api: TestApi,
  { email, password }: Person,
  more: object = {},
): Promise<{ accessToken: string; refreshToken: string; sessionId: string }> {
  const answer = await post(api, "login", { email, password, ...more });
  if (answer.status !== 200 || !answer.body.accessToken) throw new Error(JSON.stringify(answer.body));
  return answer.body;
}

/** Asks GraphQL with an access token. */
export function askWith(
  api: TestApi,
  accessToken: string,
  query: string,
  variables: Record<string, unknown> = {},
): Promise<Answer> {
  return api.ask(query, variables, { authorization: `Bearer ${accessToken}` });
}

/** The code of the first error of an answer, or undefined. */
export function codeOf(answer: Answer): string | undefined {
  return answer.errors[0]?.extensions.code;
}

/** Forgets what was counted, for tests that fail more often than the limits allow. */
export async function forgetAttempts(db: TestDatabase): Promise<void> {
  await db.withClient("owner", (client) => client.query("delete from app_private.authentication_attempts"));
}

/** The kinds of security events, oldest first, with their severity. */
export async function securityEvents(db: TestDatabase, userId: string): Promise<string[]> {
  return db.withClient("superuser", async (client) => {
    const { rows } = await client.query<{ event: string }>(
      "select kind || ' ' || severity as event from app_private.security_events where user_id = $1 order by id",
      [userId],
    );
    return rows.map(({ event }) => event);
  });
}
