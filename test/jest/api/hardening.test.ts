import { gzipSync } from "node:zlib";
import { describe, expect, jest, test } from "@jest/globals";
import WebSocket from "ws";
import { connectionLimits } from "../../../src/http/serve_http.ts";
import { bootApi } from "./_api.ts";
import { sendRaw } from "./_raw.ts";

jest.setTimeout(60_000);
const api = await bootApi({ TALLYSTICK_CORS_ORIGINS: "https://app.example.com" });
const base = api.url.replace(/\/graphql$/, "");
const body = JSON.stringify({ query: "{ __typename }" });
const shape = {
  message: expect.stringMatching(/^[A-Z].*\.$/s),
  extensions: {
    code: expect.stringMatching(/^[A-Z_]+$|^LG[0-9A-Z]{3}$/),
    name: expect.stringMatching(/^[a-z_]+$/),
    detail: expect.any(Object),
    hint: expect.any(String),
    isRetryable: expect.any(Boolean),
  },
};

async function request(
  init: RequestInit & { path?: string },
): Promise<{ status: number; code: string; headers: Headers }> {
  const response = await fetch(`${base}${init.path ?? "/graphql"}`, init);
  const text = await response.text();
  const { errors } = (text === "" ? { errors: [{}] } : JSON.parse(text)) as {
    errors?: { extensions?: { code: string } }[];
  };
  if (text !== "" && response.status >= 400) expect(errors).toEqual([shape]);
  return { status: response.status, code: errors?.[0]?.extensions?.code ?? "", headers: response.headers };
}

const post = (type: string | undefined, content: string | Uint8Array, more: Record<string, string> = {}) =>
  request({
    method: "POST",
    headers: { ...(type === undefined ? {} : { "content-type": type }), ...more },
    body: content as string,
  });

describe("the content type", () => {
  test.each([
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON;charset=UTF-8",
    'application/json; charset="utf-8"',
  ])("%s is taken", async (type) => expect((await post(type, body)).status).toBe(200));
  test.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/graphql",
    "application/graphql-response+json",
    "application/json; charset=utf-16",
    "application/json; charset=latin1",
    "application/jsonx",
    "application/json, text/plain",
    "x",
  ])("%s is refused: a web page could send the first three without asking", async (type) => {
    expect(await post(type, body)).toMatchObject({ status: 415, code: "UNSUPPORTED_MEDIA_TYPE" });
  });
  test("none is refused", async () => {
    expect(await post(undefined, Buffer.from(body))).toMatchObject({ status: 415 });
  });
  test("a compressed body is refused, whatever it would become", async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000, "["));
    const answer = await post("application/json", bomb, { "content-encoding": "gzip" });
    expect(answer).toMatchObject({ status: 415, code: "UNSUPPORTED_MEDIA_TYPE" });
  });
});

describe("the body", () => {
  test("of bytes that are no UTF-8 is refused, not repaired", async () => {
    for (const bytes of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]]) {
      const text = Buffer.concat([Buffer.from('{"query":"{ __typename } #'), Buffer.from(bytes), Buffer.from('"}')]);
      expect(await post("application/json", text)).toMatchObject({ status: 400, code: "BAD_REQUEST" });
    }
  });
  test("nested too deeply is refused, and at once", async () => {
    const started = Date.now();
    for (const open of ["[", '{"a":', '[{"a":']) {
      const deep = `{"query":"{ __typename }","variables":{"x":${open.repeat(200_000)}`;
      expect(await post("application/json", deep)).toMatchObject({ status: 400, code: "LG168" });
    }
    expect(Date.now() - started).toBeLessThan(2_000);
  });
  test("may hold as many brackets in a text as it likes", async () => {
    const text = JSON.stringify({ query: "{ __typename }", variables: { x: `\\"${"[{".repeat(5_000)}` } });
    expect((await post("application/json", text)).status).toBe(200);
  });
  test("with a key that comes twice has one meaning, that of the parser: the last one", async () => {
    const answer = await api.send('{"query":"{ nothing }","query":"{ __typename }"}');
    expect(answer.data).toEqual({ __typename: "Query" });
  });
  test("with __proto__ and constructor changes nothing for anybody", async () => {
    const keys = '"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}';
    await api.send(`{"query":"{ __typename }","variables":{${keys}},${keys}}`);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    expect((await api.send(body)).data).toEqual({ __typename: "Query" });
  });
});

describe("the answer", () => {
  test.each([
    ["application/json", "application/json; charset=utf-8"],
    ["application/graphql-response+json", "application/graphql-response+json; charset=utf-8"],
    ["*/*", "application/graphql-response+json; charset=utf-8"],
    ["application/*;q=0.5", "application/graphql-response+json; charset=utf-8"],
  ])("for %s is %s", async (accept, type) => {
    const { status, headers } = await post("application/json", body, { accept });
    expect(status).toBe(200);
    expect(headers.get("content-type")?.replace(/;\s*/g, "; ")).toBe(type);
  });
  test.each(["text/html", "image/png", "application/json;q=0", "application/xml"])("for %s is 406", async (accept) => {
    expect(await post("application/json", body, { accept })).toMatchObject({ status: 406, code: "NOT_ACCEPTABLE" });
  });
  test("is kept by nobody on the way", async () => {
    for (const path of ["/graphql", "/nothing", "/readyz"]) {
      const { headers } = await request({ path, method: path === "/graphql" ? "POST" : "GET" });
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("etag")).toBeNull();
    }
  });
  test("may be put into no frame and runs nothing", async () => {
    const { headers } = await post("application/json", body);
    expect(headers.get("content-security-policy")).toBe(
      "default-src 'none';base-uri 'none';form-action 'none';frame-ancestors 'none'",
    );
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("strict-transport-security")).toMatch(/^max-age=31536000/);
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("x-powered-by")).toBeNull();
    expect(headers.get("server")).toBeNull();
  });
});

describe("methods and paths", () => {
  test.each(["GET", "HEAD", "PUT", "PATCH", "DELETE"])("%s is refused", async (method) => {
    const { status, headers } = await request({ method });
    expect(status).toBe(405);
    expect(headers.get("allow")).toBe("POST");
  });
  test("TRACE and made-up methods echo nothing", async () => {
    for (const method of ["TRACE", "PROPFIND"]) {
      const answer = await sendRaw(base, [
        `${method} /graphql HTTP/1.1\r\nHost: x\r\nX-Secret: echo\r\nConnection: close\r\n\r\n`,
      ]);
      expect(answer.status).toBe(405);
      expect(answer.text).not.toContain("echo");
    }
  });
  test("CONNECT opens no tunnel", async () => {
    const answer = await sendRaw(base, ["CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"]);
    expect(answer.text).toBe("");
  });
  test.each([
    "/graphql/",
    "/graphql/x",
    "/GraphQL",
    "//graphql",
    "/graphql/../metrics",
    "/%67raphql",
    "/%",
    "/.env",
    "/%2e%2e/x",
  ])("%s is not GraphQL, or answers as it does", async (path) => {
    const answer = await sendRaw(base, [
      `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}`,
    ]);
    expect([400, 404, 405, 415]).toContain(answer.status);
    expect(JSON.parse(answer.body).errors).toEqual([shape]);
  });
});

describe("request ids", () => {
  test.each([
    "short",
    "x".repeat(65),
    "a b c d e f g h",
    "id-with-\u00e9-in-it",
    '{"json":1}',
    "drop;table--x",
    "a\tbcdefgh",
  ])("%p is replaced by one of ours", async (id) => {
    const { headers } = await post("application/json", body, { "x-request-id": id });
    expect(headers.get("x-request-id")).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(api.log()).not.toContain(id.length > 5 ? id : "\u0000");
  });
  test("two in one request are replaced as well", async () => {
    const answer = await sendRaw(base, [
      `POST /graphql HTTP/1.1\r\nHost: x\r\nX-Request-Id: first-of-two\r\nX-Request-Id: second-of-two\r\n`,
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    ]);
    expect(answer.status).toBe(200);
    expect(answer.headers).not.toContain("of-two");
  });
  test("a line break in one splits no header", async () => {
    const answer = await sendRaw(base, [
      "POST /graphql HTTP/1.1\r\nHost: x\r\nX-Request-Id: abcdefgh\r\n injected: yes\r\n\r\n",
    ]);
    expect(answer.status).toBe(400);
    expect(answer.headers).not.toContain("injected");
  });
});

describe("origins", () => {
  const preflight = (origin: string) =>
    request({
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,x-evil",
      },
    });
  test("a listed one may call, by POST, with the headers that there are", async () => {
    const { headers } = await preflight("https://app.example.com");
    expect(headers.get("access-control-allow-origin")).toBe("https://app.example.com");
    expect(headers.get("access-control-allow-methods")).toBe("POST");
    expect(headers.get("access-control-allow-headers")).toBe("Authorization,Content-Type,X-Request-Id");
    expect(headers.get("access-control-allow-credentials")).toBeNull();
    expect(headers.get("vary")).toContain("Origin");
  });
  test.each([
    "https://evil.example.com",
    "https://app.example.com.evil.com",
    "https://xapp.example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "HTTPS://APP.EXAMPLE.COM",
    "null",
  ])("%s may not, neither before nor in the request", async (origin) => {
    expect((await preflight(origin)).headers.get("access-control-allow-origin")).toBeNull();
    const { headers } = await post("application/json", body, { origin });
    expect(headers.get("access-control-allow-origin")).toBeNull();
  });

  /** Opens a web socket with an origin, and tells how that went. */
  const open = async (options: { origin?: string; path?: string }): Promise<string> => {
    const url = `${base.replace("http", "ws")}${options.path ?? "/graphql"}`;
    const socket = new WebSocket(
      url,
      "graphql-transport-ws",
      options.origin === undefined ? {} : { origin: options.origin },
    );
    return new Promise((resolve) => {
      socket.on("open", () => {
        socket.close();
        resolve("open");
      });
      socket.on("unexpected-response", (_request, response) => {
        let text = "";
        response.on("data", (chunk: Buffer) => (text += chunk.toString()));
        response.on("end", () => resolve(`${response.statusCode} ${JSON.parse(text).errors[0].extensions.code}`));
      });
      socket.on("error", (error) => resolve(error.message));
    });
  };
  test("web sockets are opened by listed origins, by our own, and by programs", async () => {
    expect(await open({ origin: "https://app.example.com" })).toBe("open");
    expect(await open({ origin: base })).toBe("open");
    expect(await open({})).toBe("open");
    expect(await open({ origin: "https://evil.example.com" })).toBe("403 LG464");
    expect(await open({ origin: "null" })).toBe("403 LG464");
    expect(await open({ path: "/elsewhere" })).toBe("404 NOT_FOUND");
  });
});

describe("what is no proper request", () => {
  const upgrade =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
  test.each(["//", "http://[", "\\\\", "//[x", "*"])("an upgrade at %s does not end the process", async (path) => {
    const answer = await sendRaw(base, [`GET ${path} HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n\r\n`], { ms: 500 });
    expect([400, 404]).toContain(answer.status);
    expect((await fetch(`${base}/livez`)).status).toBe(200);
  });
  test.each([
    ["nonsense", "\x00\x01\x02\r\n\r\n", 400],
    [
      "TLS",
      Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x0d, 0x0a, 0x0d, 0x0a]),
      400,
    ],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
    ["no host", "POST /graphql HTTP/1.1\r\n\r\n", 400],
    ["two lengths", "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}", 400],
    [
      "a length and chunks",
      "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
    ],
    [
      "a chunk that lies",
      "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      400,
    ],
    ["an unknown coding", "POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n", 400],
    ["a blank before the colon", "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n{}", 400],
    [
      "an expectation",
      "POST /graphql HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
      417,
    ],
  ])("%s is answered in the same shape, and the connection ends", async (_name, bytes, status) => {
    const answer = await sendRaw(base, [bytes]);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body).errors).toEqual([shape]);
    expect(answer.headers).toMatch(/^Connection: close$/im);
    // One answer, not a second one for what follows.
    expect(answer.text.match(/^HTTP\/1\.1/gm)).toHaveLength(1);
  });
  test("headers that are too large are 431", async () => {
    const answer = await sendRaw(base, [
      `POST /graphql HTTP/1.1\r\nHost: x\r\nX-Large: ${"y".repeat(connectionLimits.headerBytes)}\r\n\r\n`,
    ]);
    expect(answer.status).toBe(431);
    expect(JSON.parse(answer.body).errors).toMatchObject([{ extensions: { code: "HEADERS_TOO_LARGE" } }]);
  });
  test("headers that never end are 408 after ten seconds; a body that never ends goes the same way later", async () => {
    expect(connectionLimits.requestTimeout).toBeLessThanOrEqual(30_000);
    const started = Date.now();
    const answer = await sendRaw(base, ["POST /graphql HTTP/1.1\r\nHost: x\r\n"], { ms: 20_000 });
    expect(answer.status).toBe(408);
    expect(JSON.parse(answer.body).errors).toMatchObject([
      { extensions: { code: "REQUEST_TIMEOUT", isRetryable: true } },
    ]);
    expect(Date.now() - started).toBeGreaterThan(connectionLimits.headersTimeout - 1_000);
  });
  test("after all of it the server serves", async () => {
    expect((await post("application/json", body)).status).toBe(200);
  });
});
