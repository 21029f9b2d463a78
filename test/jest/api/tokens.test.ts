import { createHmac } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import jwt from "jsonwebtoken";
import { staff } from "../../support/session.ts";
import { bootApi, secret } from "./_api.ts";

const api = await bootApi();
const query = "{ currentTenant { slug } }";
const claims = {
  sub: staff,
  sid: staff,
  tenant_id: api.books.tenant,
  role: "admin",
  aud: "tallystick",
  iss: "tallystick",
};
const soon = Math.floor(Date.now() / 1000) + 60;

const sign = (payload: object, key: string | null = secret, options: jwt.SignOptions = {}): string =>
  jwt.sign({ exp: soon, ...payload }, key ?? "", options);

function unsigned(): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none", typ: "JWT" })}.${part({ ...claims, exp: soon })}.`;
}

/** Signed with HS256 although the header says otherwise. */
function withHeader(header: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part(header)}.${part({ ...claims, exp: soon })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

test("a right token opens the books that it names", async () => {
  const answer = await api.ask(query, {}, { authorization: `Bearer ${sign(claims)}` });
  expect(answer.status).toBe(200);
  expect(answer.data).toEqual({ currentTenant: { slug: "acme" } });
});

test("without a token the caller is anonymous and sees no books", async () => {
  const answer = await api.ask(query, {}, { role: "anonymous" });
  expect(answer.status).toBe(200);
  expect(answer.errors[0]?.extensions.code).toBe("LG402");
  expect(answer.data).toEqual({ currentTenant: null });
});

describe("a token is refused with 401 and LG460", () => {
  const without = (name: keyof typeof claims): object => ({ ...claims, [name]: undefined });
  const bad: Record<string, string> = {
    "signed with another secret": sign(claims, "another secret that is long enough to be one"),
    "not signed at all": unsigned(),
    "signed with another algorithm": sign(claims, secret, { algorithm: "HS384" }),
    "that says RS256 and is HS256": withHeader({ alg: "RS256", typ: "JWT" }),
    "for another audience": sign({ ...claims, aud: "somebody else" }),
    "of another issuer": sign({ ...claims, iss: "somebody else" }),
    "without an audience": sign(without("aud")),
    "without an issuer": sign(without("iss")),
    "without a user": sign(without("sub")),
    "without a session": sign(without("sid")),
    "whose session is no UUID": sign({ ...claims, sid: "1" }),
    "of an operator with a tenant": sign({ ...claims, role: "operator" }),
    "without a tenant": sign(without("tenant_id")),
    "without a role": sign(without("role")),
    "with a role that is none": sign({ ...claims, role: "owner" }),
    "with the role anonymous": sign({ ...claims, role: "anonymous" }),
    "whose user is no UUID": sign({ ...claims, sub: "alice" }),
    "whose tenant is text": sign({ ...claims, tenant_id: "1" }),
    "whose tenant is 0": sign({ ...claims, tenant_id: 0 }),
    "whose tenant is a fraction": sign({ ...claims, tenant_id: 1.5 }),
    "without an end": jwt.sign(claims, secret),
    "that is not valid yet": sign({ ...claims, nbf: soon }),
    "that is no token": "nonsense",
    "with SQL in it": sign({ ...claims, role: "admin'; reset role; --" }),
  };
  test.each(Object.entries(bad))("%s", async (_name, token) => {
    const answer = await api.ask(query, {}, { authorization: `Bearer ${token}` });
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toContain("Bearer");
    expect(answer.errors).toEqual([
      {
        message: "The token is not valid.",
        extensions: {
          code: "LG460",
          name: "invalid_token",
          detail: {},
          hint: expect.any(String),
          isRetryable: false,
        },
      },
    ]);
  });

  test("with another scheme", async () => {
    const answer = await api.ask(query, {}, { authorization: `Basic ${sign(claims)}` });
    expect(answer.status).toBe(401);
    expect(answer.errors[0]?.extensions.code).toBe("LG460");
  });
});

test("an expired token is refused with LG461", async () => {
  const answer = await api.ask(query, {}, { authorization: `Bearer ${sign({ ...claims, exp: soon - 120 })}` });
  expect(answer.status).toBe(401);
  expect(answer.errors[0]?.extensions).toMatchObject({ code: "LG461", name: "token_expired" });
});

test("only the claims that count reach the database", async () => {
  const token = sign({ ...claims, "tallystick.tenant_id": 99, pgSettings: { role: "tallystick_owner" }, admin: true });
  const answer = await api.ask(query, {}, { authorization: `Bearer ${token}` });
  expect(answer.data).toEqual({ currentTenant: { slug: "acme" } });
});

test("nothing of a request stays on the connection for the next one", async () => {
  for (let round = 0; round < 20; round += 1) {
    await api.get(query);
    const answer = await api.ask(query, {}, { role: "anonymous" });
    expect(answer.data).toEqual({ currentTenant: null });
  }
});

test("no token is in the log", async () => {
  const token = sign(claims);
  await api.ask(query, {}, { authorization: `Bearer ${token}` });
  expect(api.log()).toContain("/graphql");
  expect(api.log()).not.toContain(token);
  expect(api.log()).not.toContain(token.split(".")[2]);
});
