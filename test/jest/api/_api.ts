import { createHash } from "node:crypto";
import { afterAll } from "@jest/globals";
import { pino } from "pino";
import { type RunningPart, startApi } from "../../../src/api.ts";
import { loadConfig } from "../../../src/config.ts";
import { secretKeys } from "../../../src/http/token_keys.ts";
import { type Role, signToken } from "../../../src/http/tokens.ts";
import type { Mail } from "../../../src/mailer.ts";
import { fieldKeySetting } from "../../support/field_keys.ts";
import { actAs, ensureSession, sessionId, staff } from "../../support/session.ts";
import { createTestDatabase, type TestDatabase } from "../../support/test_database.ts";

/** Looks random, so that a server in production takes it. */
export const secret = createHash("sha512").update("the tests of the API").digest("base64");

/** The parts of an answer that tests look at. */
export interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the shape of what it asked for.
  data: any;
  errors: AnswerError[];
  text: string;
}

export interface AnswerError {
  message: string;
  path?: (string | number)[];
  extensions: {
    code: string;
    name?: string;
    detail?: Record<string, unknown>;
    hint?: string;
    isRetryable?: boolean;
    errorId?: string;
  };
}

export interface Caller {
  /** Null for an operator. */
  tenant?: number | null;
  role?: Role | "anonymous";
  user?: string;
  /** Instead of a token made from the above. */
  authorization?: string;
}

export interface TestApi {
  url: string;
  db: TestDatabase;
  /** Two tenants, each with the same chart of accounts. */
  books: Books;
  otherBooks: Books;
  /** The messages that were sent, the newest last. */
  mails: Mail[];
  /** What the server wrote to its log. */
  log: () => string;
  token(caller: Caller): string;
  ask(query: string, variables?: Record<string, unknown>, caller?: Caller): Promise<Answer>;
  /** The same, and fails unless there is data and no error. */
  get(query: string, variables?: Record<string, unknown>, caller?: Caller): Promise<Answer["data"]>;
  /** Sends any body as it is. */
  send(body: string, headers?: Record<string, string>): Promise<Answer>;
}

export interface Books {
  tenant: number;
  cash: string;
  sales: string;
  /** An account that `customer` owns. */
  wallet: string;
  customer: string;
}

/**
 * Boots the real server, on a port of its own and a copy of the migrated database. `prepare` may change the
 * database before the server reads its schema.
 */
export async function bootApi(
  settings: Record<string, string> = {},
  prepare: (db: TestDatabase) => Promise<void> = async () => undefined,
): Promise<TestApi> {
  // Registered before the database's own check that nothing is open any more: hooks run in this order.
  let server: RunningPart | undefined;
  afterAll(() => server?.stop());
  const db = await createTestDatabase();
  await prepare(db);
  const lines: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void lines.push(line) });
  const config = loadConfig({
    NODE_ENV: "test",
    PORT: "0",
    TALLYSTICK_JWT_SECRET: secret,
    TALLYSTICK_FIELD_KEYS: fieldKeySetting("test"),
    DATABASE_URL: db.urls.owner,
    // Passwords of tests are nobody's: a hash of the full cost would only take time. Production does not take less.
    ...(settings["NODE_ENV"] === "production"
      ? {}
      : { TALLYSTICK_ARGON2_MEMORY_KIB: "64", TALLYSTICK_ARGON2_PASSES: "1" }),
    TALLYSTICK_RATE_LIMIT_PER_MINUTE: "100000",
    TALLYSTICK_RATE_LIMIT_SIGN_IN_PER_MINUTE: "100000",
    ...settings,
  });
  const mails: Mail[] = [];
  const mailer = async (mail: Mail): Promise<void> => void mails.push(mail);
  // Where a test names a mail server, the API sends to it.
  server = await startApi({ config, databaseUrl: db.urls.api, log, ...(config.mail ? {} : { mailer }) });
  const books = await openBooks(db, "acme");
  const otherBooks = await openBooks(db, "other");
  const url = `${server.url}/graphql`;
  const token = ({
    role = "admin",
    tenant = role === "operator" ? null : books.tenant,
    user = staff,
  }: Caller): string =>
    signToken({
      keys: secretKeys(secret),
      tenantId: tenant,
      role: role as Role,
      userId: user,
      sessionId: sessionId({ tenantId: tenant, role, userId: user }),
      expiresInSeconds: 900,
    });
  const known = new Set<string>();
  const signIn = async ({
    role = "admin",
    tenant = role === "operator" ? null : books.tenant,
    user = staff,
  }: Caller): Promise<void> => {
    const of = { tenantId: tenant, role, userId: user };
    if (role === "anonymous" || known.has(sessionId(of))) return;
    known.add(sessionId(of));
    await db.withClient("owner", (client) => ensureSession(client, of));
  };
  const send: TestApi["send"] = async (body, headers = {}) => {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
    });
    const text = await response.text();
    const parsed = parse(text);
    return { status: response.status, headers: response.headers, data: parsed.data, errors: parsed.errors ?? [], text };
  };
  await signIn({});
  const ask: TestApi["ask"] = async (query, variables, caller = {}) => {
    if (caller.authorization === undefined) await signIn(caller);
    const authorization = caller.authorization ?? (caller.role === "anonymous" ? "" : `Bearer ${token(caller)}`);
    return send(JSON.stringify({ query, variables }), authorization === "" ? {} : { authorization });
  };
  const get: TestApi["get"] = async (query, variables, caller) => {
    const answer = await ask(query, variables, caller);
    if (answer.errors.length > 0) throw new Error(answer.text);
    return answer.data;
  };
  return { url, db, books, otherBooks, mails, log: () => lines.join(""), token, ask, get, send };
}

function parse(text: string): { data?: unknown; errors?: AnswerError[] } {
  try {
    return JSON.parse(text) as { data?: unknown; errors?: AnswerError[] };
  } catch {
    return {};
  }
}

/** Opens books with a few accounts, as the owner of the database does for a new tenant. */
async function openBooks(db: TestDatabase, slug: string): Promise<Books> {
  return db.withClient("owner", async (client) => {
    const one = async (text: string, values: unknown[]): Promise<string> => {
      const { rows } = await client.query<{ id: string }>(text, values);
      return String(rows[0]?.id);
    };
    const tenant = Number(await one("select id from app_private.create_tenant($1)", [slug]));
    const customer = `00000000-0000-7000-8000-00000000cc0${tenant % 10}`;
    await actAs(client, { tenantId: tenant, role: "admin", userId: staff });
    const open = (code: string, type: string, owner: string | null): Promise<string> =>
      one(
        `select id from app_public.open_account(
           code => $1, name => $1, type => $2::app_public.account_type, currency => 'USD', owner_id => $3::uuid)`,
        [code, type, owner],
      );
    const cash = await open("cash", "asset", null);
    const sales = await open("sales", "revenue", null);
    const wallet = await open("wallet", "liability", customer);
    return { tenant, cash, sales, wallet, customer };
  });
}

export const postMutation = /* GraphQL */ `
  mutation ($transaction: TransactionInput!) {
    postTransaction(input: { transaction: $transaction }) {
      result {
        transactionId
        isReplayed
        transaction { id status kind postings { nodes { direction amount amountFormatted account { code } } } }
        balances { accountId posted pending available version account { code } }
        refusal { code }
      }
    }
  }
`;

/** A transaction of two postings, as variables of postMutation. */
export function transfer(debit: string, credit: string, amount: unknown, more: object = {}): { transaction: object } {
  return {
    transaction: {
      ...more,
      postings: [
        { accountId: debit, direction: "DEBIT", amount },
        { accountId: credit, direction: "CREDIT", amount },
      ],
    },
  };
}
