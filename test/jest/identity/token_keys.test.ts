import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  sign,
  verify,
} from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, jest, test } from "@jest/globals";
import jwt from "jsonwebtoken";
import { parseTokenKeys, readTokenKeys } from "../../../src/http/token_keys.ts";
import { signToken, TokenError, verifyToken } from "../../../src/http/tokens.ts";
import { staff } from "../../support/session.ts";
import { bootApi } from "../api/_api.ts";
import { askWith, makePerson, signIn } from "./_people.ts";

/* Access tokens that are signed with a key set, and verified by whoever has its public part. */
const rsa = (kid: string): JsonWebKey => ({
  ...generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }),
  kid,
});
const ed = (kid: string): JsonWebKey => ({
  ...generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" }),
  kid,
});
const publicPart = ({ kty, n, e, crv, x, kid }: JsonWebKey): JsonWebKey =>
  JSON.parse(JSON.stringify({ kty, n, e, crv, x, kid }));
const set = (...keys: JsonWebKey[]): string => JSON.stringify({ keys });

const [rsaKey, edKey, otherEdKey] = [rsa("rsa-1"), ed("ed-1"), ed("ed-2")];
const options = { tenantId: 1, role: "teller", userId: staff, sessionId: staff, expiresInSeconds: 60 } as const;
const header = (token: string): unknown => JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString());
const claims = { iss: "tallystick", aud: "tallystick", sub: staff, sid: staff, tenant_id: 1, role: "teller" };

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

const folder = mkdtempSync(join(tmpdir(), "tallystick-keys-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, "server.json");
writeFileSync(path, set(edKey, publicPart(rsaKey)));
const api = await bootApi({ TALLYSTICK_JWT_KEYS: path });

describe.each([
  ["RS256", rsaKey],
  ["EdDSA", edKey],
] as const)("%s", (algorithm, key) => {
  const keys = parseTokenKeys(set(key));
  // jsonwebtoken would not sign some of what it is asked to verify.
  const signAnything = (payload: object, alg: string = algorithm): string => {
    const text = `${encode({ alg, typ: "JWT", kid: key.kid })}.${encode(payload)}`;
    const privateKey = createPrivateKey({ key, format: "jwk" });
    return `${text}.${sign(digest, Buffer.from(text), privateKey).toString("base64url")}`;
  };
  const digest = algorithm === "RS256" ? "sha256" : null;

  test("signs tokens that it verifies, and that name the key", () => {
    const token = signToken({ keys, ...options });
    expect(header(token)).toEqual({ alg: algorithm, typ: "JWT", kid: key.kid });
    expect(verifyToken(token, keys)).toMatchObject({ tenantId: 1, role: "teller", userId: staff, sessionId: staff });
  });

  test("publishes its public part alone, which verifies them", () => {
    const [published] = keys.publicKeys;
    expect(published).toEqual({ ...publicPart(key), alg: algorithm, use: "sig" });
    expect(published).not.toHaveProperty("d");
    const [head, payload, signature = ""] = signToken({ keys, ...options }).split(".");
    const publicKey = createPublicKey({ key: published as JsonWebKey, format: "jwk" });
    expect(verify(digest, Buffer.from(`${head}.${payload}`), publicKey, Buffer.from(signature, "base64url"))).toBe(
      true,
    );
  });

  test("asks about the time each time, of a token that it has verified before", () => {
    const token = signToken({ keys, ...options });
    expect(verifyToken(token, keys).userId).toBe(staff);
    const later = jest.spyOn(Date, "now").mockReturnValue(Date.now() + 61_000);
    try {
      expect(() => verifyToken(token, keys)).toThrow(expect.objectContaining({ code: "LG461" }));
    } finally {
      later.mockRestore();
    }
  });

  test("refuses what was changed, of a token that it has verified too", () => {
    const token = signToken({ keys, ...options });
    expect(verifyToken(token, keys).userId).toBe(staff);
    const [head, payload, signature = ""] = token.split(".");
    const forged = Buffer.from(JSON.stringify({ ...claims, role: "admin", exp: 9e9 })).toString("base64url");
    const flipped = `${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`;
    for (const token of [
      `${head}.${forged}.${signature}`,
      `${head}.${payload}.${flipped}`,
      `${head}.${payload}.`,
      `${head}.${payload}`,
      `${head}.${payload}.${signature}.x`,
      `${head}.${payload}.${signature}=`,
    ]) {
      expect(() => verifyToken(token, keys)).toThrow(TokenError);
    }
  });

  test("refuses a right signature under a header that names another algorithm", () => {
    const payload = { ...claims, exp: Math.floor(Date.now() / 1000) + 60 };
    expect(verifyToken(signAnything(payload), keys).userId).toBe(staff);
    for (const alg of ["none", "HS256", algorithm === "EdDSA" ? "RS256" : "EdDSA", "ES256"]) {
      expect(() => verifyToken(signAnything(payload, alg), keys)).toThrow(TokenError);
    }
  });

  test("refuses claims that are not for this ledger, or not of this time", () => {
    const now = Math.floor(Date.now() / 1000);
    const codeOf = (payload: object): string => {
      try {
        verifyToken(signAnything({ ...claims, exp: now + 60, ...payload }), keys);
        return "good";
      } catch (error) {
        return (error as TokenError).code;
      }
    };
    expect(codeOf({})).toBe("good");
    expect(codeOf({ exp: now - 1 })).toBe("LG461");
    for (const wrong of [
      { nbf: now + 60 },
      { nbf: "soon" },
      { exp: "9e9" },
      { exp: undefined },
      { aud: "others" },
      { aud: ["tallystick"] },
      { iss: "others" },
      { role: "owner" },
    ]) {
      expect(codeOf(wrong)).toBe("LG460");
    }
  });
});

describe("algorithms are those of the key, not of the token:", () => {
  const payload = { ...claims, exp: Math.floor(Date.now() / 1000) + 60 };
  const keys = parseTokenKeys(set(rsaKey, edKey));

  test.each([
    [
      "a public key is no shared secret",
      "HS256",
      "rsa-1",
      createPublicKey({ key: publicPart(rsaKey), format: "jwk" }).export({ type: "spki", format: "pem" }),
    ],
    ["nor is that of Ed25519", "HS256", "ed-1", String(publicPart(edKey)["x"])],
    ["the secret of HS256 counts no more", "HS256", "rsa-1", "a secret of 32 characters or more"],
  ])("%s", (_name, alg, kid, secret) => {
    const text = `${encode({ alg, typ: "JWT", kid })}.${encode(payload)}`;
    const token = `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
    expect(() => verifyToken(token, keys)).toThrow(TokenError);
  });

  test("nothing goes without a signature, without a key or with another algorithm of the same key", () => {
    const privateKey = createPrivateKey({ key: rsaKey, format: "jwk" });
    const rs384 = jwt.sign(payload, privateKey, { algorithm: "RS384", keyid: "rsa-1" });
    const none = `${encode({ alg: "none", typ: "JWT", kid: "ed-1" })}.${encode(payload)}.`;
    const unnamed = jwt.sign(payload, privateKey, { algorithm: "RS256" });
    const unknown = jwt.sign(payload, privateKey, { algorithm: "RS256", keyid: "constructor" });
    const swapped = jwt.sign(payload, privateKey, { algorithm: "RS256", keyid: "ed-1" });
    for (const token of [rs384, none, unnamed, unknown, swapped])
      expect(() => verifyToken(token, keys)).toThrow(TokenError);
  });
});

describe("a key set", () => {
  test("signs with the first private key, and verifies with all", () => {
    const before = parseTokenKeys(set(edKey));
    const token = signToken({ keys: before, ...options });
    const after = parseTokenKeys(set(otherEdKey, publicPart(edKey)));
    expect(header(signToken({ keys: after, ...options }))).toMatchObject({ kid: "ed-2" });
    expect(verifyToken(token, after).userId).toBe(staff);
    expect(after.publicKeys.map(({ kid }) => kid)).toEqual(["ed-2", "ed-1"]);
    // Once the old key is taken out, its tokens are worth nothing.
    expect(() => verifyToken(token, parseTokenKeys(set(otherEdKey)))).toThrow(TokenError);
    // A verifier may name the new key before anybody signs with it.
    expect(header(signToken({ keys: parseTokenKeys(set(publicPart(otherEdKey), edKey)), ...options }))).toMatchObject({
      kid: "ed-1",
    });
  });

  test.each([
    ["no JSON", "{", "should hold JSON"],
    ["no list", "{}", "should hold a list"],
    ["no private key", set(publicPart(edKey)), "should hold a private key"],
    ["two keys of one name", set(edKey, { ...otherEdKey, kid: "ed-1" }), "`kid` of its own"],
    ["a key without a name", set({ ...edKey, kid: undefined } as JsonWebKey), "`kid` of 1 to 64"],
    ["a shared secret", set({ kty: "oct", k: "c2VjcmV0", kid: "x" }), "neither RSA nor Ed25519"],
    ["a key for another algorithm", set({ ...rsaKey, alg: "PS256" }), "other than RS256"],
    ["a key that is none", set({ ...edKey, x: "x", d: "y" }), "cannot be read"],
    [
      "a short key",
      set({ ...generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey.export({ format: "jwk" }), kid: "x" }),
      "shorter than 2048 bits",
    ],
  ])("with %s is refused, without a word of what is in it", (_name, text, message) => {
    expect(() => parseTokenKeys(text)).toThrow(message);
    try {
      parseTokenKeys(text);
    } catch (error) {
      expect(String(error)).not.toContain(String(edKey["d"]));
    }
  });

  test("is read from a file", () => {
    expect(readTokenKeys(path).publicKeys).toHaveLength(2);
    expect(() => readTokenKeys(join(folder, "none.json"))).toThrow("can be read (ENOENT)");
  });
});

describe("a server with a key set", () => {
  test("signs with it, takes nothing that the secret signed, and publishes its keys", async () => {
    const person = await makePerson(api.db, { roles: { [api.books.tenant]: "teller" } });
    const { accessToken } = await signIn(api, person);
    expect(header(accessToken)).toEqual({ alg: "EdDSA", typ: "JWT", kid: "ed-1" });
    expect((await askWith(api, accessToken, "{ currentTenant { slug } }")).data.currentTenant).toEqual({
      slug: "acme",
    });
    expect((await api.ask("{ currentTenant { slug } }", {}, {})).status).toBe(401);
    const response = await fetch(`${new URL(api.url).origin}/.well-known/jwks.json`);
    expect(response.status).toBe(200);
    expect(response.headers.get("cache-control")).toBe("public, max-age=300");
    expect(await response.json()).toEqual({ keys: readTokenKeys(path).publicKeys });
  });
});
