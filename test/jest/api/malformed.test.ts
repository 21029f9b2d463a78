import { expect, jest, test } from "@jest/globals";
import fc from "fast-check";
import { buildSchema, parse, validate } from "graphql";
import { readProjectFile } from "../../support/project_files.ts";
import { bootApi } from "./_api.ts";
import { sendRaw } from "./_raw.ts";

/**
 * Whatever is sent, the answer is JSON: data, or errors of one shape, each with a code. Nothing of the inside
 * shows. In production, where it matters; several hundred requests of every kind of wrong.
 */
jest.setTimeout(180_000);
const api = await bootApi({ NODE_ENV: "production", TALLYSTICK_ALLOW_ANY_OPERATION: "true" });
const base = api.url.replace(/\/graphql$/, "");
const authorization = `Bearer ${api.token({})}`;
const runs = 150;

const inside = new RegExp(
  [
    String.raw`node_modules|\.[tj]s:\d|at \w+ \(|(?<!Syntax )Error:|undefined|\[object|ECONN`,
    `app_private|app_hidden|app_public|pg_catalog|_pkey|_fkey|_key"|tallystick_(api|owner|admin)`,
    `relation |column |syntax error at|select |insert |violates|SQLSTATE|plpgsql`,
  ].join("|"),
  "i",
);

interface Answered {
  status: number;
  type: string;
  text: string;
}

function expectOneShape({ status, type, text }: Answered): void {
  expect(type).toMatch(/^application\/(graphql-response\+)?json/);
  const answer = JSON.parse(text) as { data?: unknown; errors?: Record<string, unknown>[] };
  expect(Object.keys(answer).filter((key) => !["data", "errors"].includes(key))).toEqual([]);
  if (status >= 400) expect(answer.errors?.length).toBeGreaterThan(0);
  for (const error of answer.errors ?? []) {
    const { message, extensions, ...place } = error as { message: string; extensions: Record<string, unknown> };
    expect(typeof message).toBe("string");
    expect(Object.keys(place).filter((key) => !["locations", "path"].includes(key))).toEqual([]);
    const { errorId, ...rest } = extensions;
    expect(Object.keys(rest).sort()).toEqual(["code", "detail", "hint", "isRetryable", "name"]);
    expect(rest["code"]).toMatch(/^(LG[0-9A-Z]{3}|[A-Z]+(_[A-Z]+)*)$/);
    expect(rest["name"]).toMatch(/^[a-z]+(_[a-z]+)*$/);
    expect(typeof rest["isRetryable"]).toBe("boolean");
    expect(typeof rest["hint"]).toBe("string");
    // Nothing that a client may send is an internal error.
    expect([errorId, rest["code"]]).not.toContain("INTERNAL_SERVER_ERROR");
    // What the client wrote is quoted, and may be anything.
    const ours = message.replace(/got invalid value .*/s, "").replace(/["'`].*["'`]/s, "");
    expect(`${ours} ${String(rest["hint"])} ${Object.keys(rest["detail"] as object).join()}`).not.toMatch(inside);
  }
}

async function post(body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Answered> {
  const response = await fetch(api.url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization, ...headers },
    body: body as string,
  });
  return { status: response.status, type: response.headers.get("content-type") ?? "", text: await response.text() };
}

/** JSON that JSON.stringify would never write: numbers without end, keys twice, escapes of half a character. */
const oddJson = fc.oneof(
  fc.json({ maxDepth: 6 }),
  fc.constantFrom(
    "1e999",
    "-0",
    "1".repeat(400),
    "1e-999",
    '"\\ud800"',
    '"\\u0000"',
    "[1,]",
    "{,}",
    "NaN",
    "'x'",
    "\ufeff{}",
    "nul",
  ),
);

test("bytes of any kind", async () => {
  const body = fc.oneof(fc.uint8Array({ maxLength: 400 }), fc.string({ unit: "binary" }), oddJson);
  await fc.assert(
    fc.asyncProperty(body, async (bytes) => expectOneShape(await post(bytes))),
    { numRuns: runs },
  );
});

test("JSON of the right form with anything in it", async () => {
  const value = fc.oneof(
    fc.constantFrom("{ __typename }", "query A { currentTenant { slug } }", null, 1),
    fc.jsonValue(),
    fc.string(),
  );
  const body = fc.record(
    {
      query: value,
      variables: value,
      operationName: value,
      extensions: value,
      id: value,
      documentId: value,
      onError: value,
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(body, async (one) => expectOneShape(await post(JSON.stringify(one)))),
    { numRuns: runs },
  );
});

/** Words of the language and of the schema in any order; some of it is valid. */
const words = fc.constantFrom(
  ...'{ } ( ) [ ] : ! | & = @ $ ... , # " """ query mutation subscription fragment on type input'.split(" "),
  ..."extend schema null true accounts nodes id code postings transaction account(id: currentTenant".split(" "),
  ..."slug __typename __schema first: filter: orderBy: $a: UUID Int 1 -1 1e400 0x1 99999999999999999999".split(" "),
  ..."'x' \\u{110000} é \u0000 \u2028 @skip(if: @include @defer @stream".split(" "),
);

test("documents of any words", async () => {
  const document = fc.oneof(
    fc.array(words, { maxLength: 60 }).map((list) => list.join(" ")),
    fc.array(words, { maxLength: 15 }).map((list) => `{ accounts { nodes { id ${list.join(" ")} } } }`),
  );
  await fc.assert(
    fc.asyncProperty(document, async (query) => expectOneShape(await post(JSON.stringify({ query })))),
    { numRuns: runs * 2 },
  );
});

const documents = [
  "query ($v: UUID!) { account(id: $v) { code } }",
  "query ($v: String!) { accountByCode(code: $v, currency: $v) { id } }",
  "query ($v: ID!) { node(nodeId: $v) { nodeId } }",
  "query ($v: Cursor) { accounts(after: $v) { nodes { id } } }",
  "query ($v: Int) { accounts(first: $v) { nodes { id } } }",
  "query ($v: [AccountOrderBy!]) { accounts(orderBy: $v) { nodes { id } } }",
  "query ($v: AccountFilter) { accounts(filter: $v) { nodes { id } } }",
  "query ($v: String) { accounts(filter: { code: { startsWith: $v } }) { nodes { id } } }",
  "query ($v: Datetime) { trialBalance(asOf: $v, knownAt: $v) { balance } }",
  "query ($v: Datetime) { accounts { nodes { balance(asOf: $v) { posted } } } }",
  "query ($v: BigInt) { accounts { nodes { statement(beforeVersion: $v) { amount } } } }",
  "query ($v: Int) { accounts { nodes { statement(pageSize: $v) { amount } } } }",
  "query ($v: Amount!, $r: [BigFloat]!) { allocate(amount: $v, ratios: $r) }",
  "query ($v: String!) { convertAmount(amount: 1, fromCurrency: $v, toCurrency: $v) { amount } }",
  "mutation ($v: String!) { createCurrency(input: { code: $v, exponent: 2 }) { currency { code } } }",
  "mutation ($v: String!) { openAccount(input: { code: $v, name: $v, type: ASSET, currency: $v }) { __typename } }",
  `mutation ($v: JSON) {
      openAccount(input: { code: "c", name: "n", type: ASSET, currency: "USD", metadata: $v }) { clientMutationId } }`,
  "mutation ($v: TransactionInput!) { postTransaction(input: { transaction: $v }) { result { transactionId } } }",
  `mutation ($v: [TransactionInput]!) {
      postTransactions(input: { transactions: $v }) { results { refusal { code } } } }`,
  'mutation ($v: Datetime!) { openPeriod(input: { name: "p", startsAt: $v, endsAt: $v }) { clientMutationId } }',
  "mutation ($v: UUID!) { reverseTransaction(input: { transactionId: $v }) { result { transactionId } } }",
  "mutation ($v: String!) { login(input: { email: $v, password: $v, tenant: $v, code: $v }) { __typename } }",
  "mutation ($v: UUID!, $r: String) { freezeAccount(input: { id: $v, clientMutationId: $r }) { clientMutationId } }",
];

test("the documents that follow are valid", () => {
  const schema = buildSchema(readProjectFile("schema/api.graphql"));
  for (const document of documents) expect(validate(schema, parse(document))).toEqual([]);
});

test("valid documents with any variables: what the database refuses is told in words of ours", async () => {
  const strange = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom<unknown>(
      "\u0000",
      "\ud800",
      "",
      " ",
      "1e3",
      "-1",
      "9".repeat(50),
      1e300,
      -1,
      2 ** 53,
      0.5,
      "infinity",
      "NaN",
      "epoch",
      "now",
      "0000-00-00",
      "294277-01-01T00:00:00Z",
      "2026-02-30T00:00:00Z",
      "00000000-0000-0000-0000-000000000000",
      "%",
      "'; drop table x; --",
      "W10=",
      "e30=",
      "WyJBY2NvdW50IiwxXQ==",
      Buffer.from('["Account","\\u0000"]').toString("base64"),
      "x".repeat(50_000),
    ),
  );
  // What JSON can hold, and JavaScript makes no text of.
  const noText = { toString: null };
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...documents), strange, strange, async (query, v, r) =>
      expectOneShape(await post(JSON.stringify({ query, variables: { v, r } }))),
    ),
    { numRuns: runs * 3, examples: documents.map((query): [string, unknown, unknown] => [query, noText, noText]) },
  );
});

test("anything sent to sign in, sign out, refresh or register", async () => {
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom<unknown>("a@example.com", "\u0000", "x".repeat(5_000)),
  );
  const keys = fc.constantFrom("email", "password", "tenant", "code", "refreshToken", "name", "cookie", "__proto__");
  const body = fc.oneof(
    fc.dictionary(keys, value).map((one) => JSON.stringify(one)),
    oddJson,
  );
  const route = fc.constantFrom("login", "logout", "refresh", "register", "confirm", "nothing");
  await fc.assert(
    fc.asyncProperty(route, body, async (name, content) => {
      const response = await fetch(`${base}/api/v1/auth/${name}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: content,
      });
      const [status, type, text] = [response.status, response.headers.get("content-type") ?? "", await response.text()];
      // Signing out of nothing is done at once, and says nothing.
      if (status !== 204) expectOneShape({ status, type, text });
    }),
    { numRuns: runs },
  );
});

test("headers of any kind", async () => {
  const text = fc.stringMatching(/^[\x20-\x7e]{0,60}$/);
  const headers = fc.dictionary(
    fc.constantFrom(
      "authorization",
      "accept",
      "content-type",
      "content-encoding",
      "x-request-id",
      "x-forwarded-for",
      "origin",
      "cookie",
      "te",
      "x-http-method-override",
      "accept-language",
    ),
    fc.oneof(
      text,
      fc.constantFrom(
        "Bearer",
        "Bearer x",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Basic YTpi",
        "*/*",
        "application/json;q=0",
        "gzip",
        "text/html",
      ),
    ),
  );
  await fc.assert(
    fc.asyncProperty(headers, async (given) => {
      const lines = Object.entries({ "content-type": "application/json", ...given }).map(
        ([name, value]) => `${name}: ${value}\r\n`,
      );
      const body = '{"query":"{ __typename }"}';
      const head = `POST /graphql HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${body.length}\r\n`;
      const { status, headers: answered, body: content } = await sendRaw(base, [`${head}${lines.join("")}\r\n${body}`]);
      expectOneShape({ status, type: /^content-type: (.*)$/im.exec(answered)?.[1] ?? "", text: content });
    }),
    { numRuns: runs },
  );
});

test("what is no HTTP", async () => {
  const line = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 100 }),
    fc.string({ minLength: 1 }).map((text) => Buffer.from(text)),
  );
  await fc.assert(
    fc.asyncProperty(line, fc.boolean(), async (bytes, isRequest) => {
      const start = isRequest ? Buffer.from("POST /graphql HTTP/1.1\r\nhost: x\r\nx: ") : Buffer.alloc(0);
      const answer = await sendRaw(base, [Buffer.concat([start, Buffer.from(bytes), Buffer.from("\r\n\r\n\r\n")])], {
        ms: 300,
      });
      // Line breaks alone are no request yet: there is nothing to answer.
      if (answer.text === "") return;
      expectOneShape({
        status: answer.status,
        type: /^content-type: (.*)$/im.exec(answer.headers)?.[1] ?? "",
        text: answer.body,
      });
    }),
    // Each waits for what may still come.
    { numRuns: Math.ceil(runs / 3) },
  );
});

test("after all of it the server serves, and has logged no error of its own", async () => {
  expect((await api.ask("{ currentTenant { slug } }")).errors).toEqual([]);
  const errors = api
    .log()
    .split("\n")
    .filter((line) => line.includes('"level":50'));
  expect(errors).toEqual([]);
});
