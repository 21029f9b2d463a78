import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, jest, test } from "@jest/globals";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { type Answer, bootApi, type Caller } from "./_api.ts";

jest.setTimeout(60_000);
const api = await bootApi({
  TALLYSTICK_RATE_LIMIT_PER_MINUTE: "40",
  TALLYSTICK_RATE_LIMIT_ADDRESS_PER_MINUTE: "10",
  TALLYSTICK_RATE_LIMIT_TENANT_PER_MINUTE: "600",
  TALLYSTICK_TRUST_PROXY: "1",
});
const direct = await bootApi({ TALLYSTICK_RATE_LIMIT_ADDRESS_PER_MINUTE: "5" });
const query = "{ currentTenant { slug } }";
const body = JSON.stringify({ query });
const user = (n: number): string => `00000000-0000-7000-8000-0000000a${String(n).padStart(4, "0")}`;

/**
 * Asks until it is refused, and tells how often it was not. Not in the last seconds of a window: then it waits
 * for the next. The first limit that an answer tells is the narrowest.
 */
async function count(ask: (n: number) => Promise<Answer>, seconds = 5): Promise<{ admitted: number; refused: Answer }> {
  for (let admitted = 0; admitted < 100; ) {
    const answer = await ask(admitted);
    const left = Number(/t=(\d+)/.exec(answer.headers.get("ratelimit") ?? "")?.[1]);
    if (left < seconds) {
      await sleep(1000 * left + 1000);
      admitted = 0;
    } else if (answer.status === 429) return { admitted, refused: answer };
    else admitted += 1;
  }
  throw new Error("It was never refused.");
}

const as = (caller: Caller) => () => api.ask(query, {}, caller);
const from =
  (address: string, headers: Record<string, string> = {}) =>
  () =>
    api.send(body, { "x-forwarded-for": address, ...headers });

describe("a user", () => {
  test("has a limit; the refusal says which one, and when to come back", async () => {
    const { admitted, refused } = await count(as({ user: user(1) }), 15);
    expect(admitted).toBe(40);
    const [error] = refused.errors;
    expect(error?.extensions).toMatchObject({ code: "LG462", name: "too_many_requests", isRetryable: true });
    expect(error?.extensions.detail).toEqual({ limit: "user", maximum: 40, windowSeconds: 60 });
    const wait = Number(refused.headers.get("retry-after"));
    expect(wait).toBeGreaterThanOrEqual(1);
    expect(wait).toBeLessThanOrEqual(60);
    // Only once, and nothing of the limits behind it.
    expect(refused.headers.get("ratelimit")).toBe(`"user"; r=0; t=${wait}`);
    expect(refused.headers.get("ratelimit-policy")).toMatch(/^"user"; q=40; w=60; pk=:[\w+/]+=*:$/);
    expect(refused.data).toBeUndefined();
  });
  test("is told of all limits in every answer, as the draft of the IETF has it", async () => {
    const { headers } = await api.ask(query, {}, { tenant: api.otherBooks.tenant, user: user(2) });
    expect(headers.get("ratelimit")).toMatch(/^"user"; r=39; t=\d+, "tenant"; r=599; t=\d+$/);
    expect(headers.get("ratelimit-policy")).toMatch(
      /^"user"; q=40; w=60; pk=:[\w+/]+=*:, "tenant"; q=600; w=60; pk=:[\w+/]+=*:$/,
    );
    expect(headers.get("x-ratelimit-limit")).toBeNull();
    const again = await api.ask(query, {}, { tenant: api.otherBooks.tenant, user: user(2) });
    expect(again.headers.get("ratelimit-policy")).toBe(headers.get("ratelimit-policy"));
    const other = await api.ask(query, {}, { tenant: api.otherBooks.tenant, user: user(3) });
    const [own, tenants] = (other.headers.get("ratelimit-policy") ?? "").split(", ");
    expect(headers.get("ratelimit-policy")).not.toContain(own);
    expect(headers.get("ratelimit-policy")).toContain(tenants);
  });
});

describe("an address without a valid token", () => {
  test("has a limit, which others do not share", async () => {
    const { admitted, refused } = await count(from("192.0.2.1"));
    expect(admitted).toBe(10);
    expect(refused.errors[0]?.extensions.detail).toMatchObject({ limit: "address" });
    expect((await from("192.0.2.2")()).status).toBe(200);
  });
  test("is counted for tokens that are not valid, too", async () => {
    const guess = from("192.0.2.3", { authorization: "Bearer x.y.z" });
    expect((await guess()).errors[0]?.extensions.code).toBe("LG460");
    await count(guess);
    expect((await from("192.0.2.3")()).status).toBe(429);
  });
  test("is not counted for a valid one", async () => {
    await count(from("192.0.2.4"));
    const authorization = `Bearer ${api.token({ tenant: api.otherBooks.tenant, user: user(5) })}`;
    expect((await from("192.0.2.4", { authorization })()).status).toBe(200);
  });
  test("is a /64 of IPv6: its owner has all of it", async () => {
    const { admitted } = await count((n) => from(`2001:db8:1:1::${n.toString(16)}`)());
    expect(admitted).toBe(10);
    expect((await from("2001:db8:1:2::1")()).status).toBe(200);
  });
  test("is the same with a port, and as IPv4 in IPv6", async () => {
    const forms = ["198.51.100.7", "198.51.100.7:4711", "::ffff:198.51.100.7"];
    const { admitted } = await count((n) => from(forms[n % 3] ?? "")());
    expect(admitted).toBe(10);
  });
  test("is the one that the proxy has seen; what clients put before it does not count", async () => {
    const { admitted } = await count((n) => from(`10.0.0.${n}, 203.0.113.9`)());
    expect(admitted).toBe(10);
  });
});

test("a limit counts what is malformed as well", async () => {
  const { admitted } = await count(() => api.send("{", { "x-forwarded-for": "192.0.2.5" }));
  expect(admitted).toBe(10);
});

test("the counters tell neither addresses nor users", async () => {
  const { rows } = await api.db
    .pool("owner")
    .query<{ text: string }>("select c::text as text from app_private.rate_limit_counters c");
  expect(rows.length).toBeGreaterThan(5);
  const text = rows.map((row) => row.text).join("\n");
  for (const known of ["192.0.2", Buffer.from("192.0.2").toString("hex"), user(1)]) expect(text).not.toContain(known);
});

describe("without a trusted proxy", () => {
  test("a forged X-Forwarded-For changes nothing", async () => {
    const { admitted } = await count((n) =>
      direct.send(body, {
        "x-forwarded-for": `192.0.2.${n}`,
        "x-real-ip": `192.0.2.${n}`,
        forwarded: `for=192.0.2.${n}`,
      }),
    );
    expect(admitted).toBe(5);
  });
});

describe("a web socket", () => {
  const open = (address: string): Promise<number> =>
    new Promise((resolve) => {
      const headers = { "x-forwarded-for": address };
      const socket = new WebSocket(api.url.replace("http", "ws"), "graphql-transport-ws", { headers });
      socket.on("error", () => undefined);
      socket.on("unexpected-response", (_request, response) => {
        expect(response.headers["retry-after"]).toBe("60");
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      socket.on("open", () => {
        socket.terminate();
        resolve(101);
      });
    });

  test("is opened as often as an address may ask without a token", async () => {
    const answers = [];
    for (let n = 0; n < 25; n += 1) answers.push(await open("192.0.2.77"));
    const admitted = answers.filter((status) => status === 101).length;
    // A window may have ended meanwhile.
    expect([10, 20]).toContain(admitted);
    expect(answers.filter((status) => status === 429)).toHaveLength(25 - admitted);
    expect(await open("192.0.2.78")).toBe(101);
  });

  test("takes as many subscriptions as the user may send requests", async () => {
    const caller = { tenant: api.otherBooks.tenant, user: user(9) };
    await count(as(caller), 15);
    const client = createClient({
      url: api.url.replace("http", "ws"),
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${api.token(caller)}` },
      retryAttempts: 0,
    });
    const events = client.iterate({ query: "subscription { transactionPosted { transaction { id } } }" });
    await expect(events.next()).rejects.toMatchObject([{ extensions: { code: "LG462" } }]);
    await client.dispose();
  });
});
