import { spawnSync } from "node:child_process";
import { describe, expect, test } from "@jest/globals";
import { canonicalRequest as canonicalOfClient, signRequest } from "../../../clients/typescript/sign_request.ts";
import {
  canonicalRequest,
  checkSkew,
  isSignedWith,
  readSignature,
  SignatureError,
} from "../../../src/api_keys/signature.ts";
import { readProjectFile } from "../../support/project_files.ts";

interface Vector {
  name: string;
  method: string;
  target: string;
  timestamp: string;
  nonce: string;
  body: string;
  bodySha256: string;
  canonicalRequest: string;
  signature: string;
  authorization: string;
}
const { key, secret, vectors } = JSON.parse(readProjectFile("docs/api-key-vectors.json")) as {
  key: string;
  secret: string;
  vectors: Vector[];
};
const read = (...values: string[]) =>
  readSignature({ rawHeaders: values.flatMap((value) => ["Authorization", value]) } as never);

test("there are vectors: a query, an empty body, a path with a query, text beyond ASCII, and more", () => {
  expect(vectors.length).toBeGreaterThanOrEqual(6);
});

describe.each(vectors.map((vector) => [vector.name, vector] as const))("the vector of %s", (_name, vector) => {
  const { method, target, timestamp, nonce, body } = vector;

  test("is what the server checks", () => {
    const signature = read(vector.authorization);
    expect(signature).toEqual({ keyId: key, timestamp, nonce, mac: Buffer.from(vector.signature, "hex") });
    const canonical = canonicalRequest({ method, target, timestamp, nonce, body: Buffer.from(body) });
    expect(canonical.toString("latin1")).toBe(vector.canonicalRequest);
    expect(signature && isSignedWith(secret, canonical, signature)).toBe(true);
    expect(signature && isSignedWith(`${secret}x`, canonical, signature)).toBe(false);
  });

  test("is what the client makes", async () => {
    const request = {
      method,
      url: `https://ledger.example.com${target}#part`,
      body,
      timestamp: Number(timestamp),
      nonce,
    };
    expect(await canonicalOfClient(request)).toBe(vector.canonicalRequest);
    expect(await signRequest({ id: key, secret }, request)).toBe(vector.authorization);
    expect(await signRequest({ id: key, secret }, { ...request, body: new TextEncoder().encode(body) })).toBe(
      vector.authorization,
    );
  });

  test("is what openssl makes", () => {
    const openssl = (args: string[], input: string): string =>
      spawnSync("openssl", ["dgst", "-sha256", "-r", ...args], { input, encoding: "utf8" }).stdout.split(" ")[0] ?? "";
    expect(openssl([], body)).toBe(vector.bodySha256);
    expect(openssl(["-hmac", secret], vector.canonicalRequest)).toBe(vector.signature);
  });
});

describe("a header", () => {
  const right = vectors[0]?.authorization ?? "";
  const refused = (...values: string[]): Record<string, unknown> | undefined => {
    try {
      read(...values);
    } catch (error) {
      if (error instanceof SignatureError && error.code === "LG420") return error.detail;
      throw error;
    }
    return undefined;
  };
  const parameters = ["key", "timestamp", "nonce", "signature"] as const;
  const without = (name: string): string =>
    right
      .replace(new RegExp(`(, )?${name}=[^,]*`), "")
      .replace(" ,", " ")
      .replace("V1 , ", "V1 ");

  test("of another kind is none of a signature", () => {
    expect(read()).toBeUndefined();
    expect(read("Bearer x")).toBeUndefined();
    expect(read("Basic x", "Bearer y")).toBeUndefined();
  });

  test("may have its parameters in any order, with more or less space, and the scheme in other letters", () => {
    const [scheme = "", ...rest] = right.split(/,? /);
    const wanted = read(right);
    expect(read(`${scheme} ${rest.reverse().join(",")}`)).toEqual(wanted);
    expect(read(`  ${scheme.toUpperCase()}   ${rest.join("  ,  ")}  `)).toEqual(wanted);
    expect(read(right.replace(/key=\S+,/, (text) => text.toUpperCase().replace("KEY", "key")))).toEqual(wanted);
    expect(
      read(right.replace(/signature=\w+/, (text) => text.toUpperCase().replace("SIGNATURE", "signature"))),
    ).toEqual(wanted);
  });

  test.each(parameters)("without %s is refused", (name) => {
    expect(refused(without(name))).toEqual({ parameter: name });
  });

  test.each(parameters)("with %s twice is refused", (name) => {
    const part = new RegExp(`${name}=[^,]*`).exec(right)?.[0];
    expect(refused(`${right}, ${part}`)).toHaveProperty("rule");
  });

  test.each([
    ["an unknown parameter", `${right}, version=2`],
    ["a comma at its end", `${right},`],
    ["nothing behind the scheme", "Tallystick-HMAC-SHA256-V1"],
    ["a name in capitals", right.replace("nonce=", "Nonce=")],
    ["quotes", right.replace(/nonce=(\w+)/, 'nonce="$1"')],
    ["another algorithm", right.replace("SHA256", "SHA512")],
    ["another version", right.replace("V1", "V2")],
    ["no version", right.replace("-V1", "")],
    ["a key that is no UUID", right.replace(/key=[^,]*/, "key=1")],
    ["a timestamp with a sign", right.replace("timestamp=", "timestamp=+")],
    ["a timestamp with a zero in front", right.replace("timestamp=", "timestamp=0")],
    ["a timestamp with decimals", right.replace(/timestamp=\d+/, "$&.5")],
    ["a timestamp that is endless", right.replace(/timestamp=\d+/, `timestamp=${"9".repeat(13)}`)],
    ["a short nonce", right.replace(/nonce=\w+/, "nonce=123456789012345")],
    ["a long nonce", right.replace(/nonce=\w+/, `nonce=${"n".repeat(129)}`)],
    ["a nonce with other characters", right.replace(/nonce=\w+/, "nonce=1234567890123456/")],
    ["a truncated signature", right.slice(0, -1)],
    ["a signature that is too long", `${right}0`],
    ["a signature in base64", right.replace(/signature=\w+/, `signature=${"A".repeat(43)}=`)],
    ["an empty signature", right.replace(/signature=\w+/, "signature=")],
  ])("with %s is refused", (_what, header) => {
    expect(refused(header)).toBeDefined();
  });

  test("that comes twice is refused, whatever the other one is", () => {
    expect(refused(right, right)).toEqual({ rule: "one Authorization header" });
    expect(refused("Bearer x", right)).toEqual({ rule: "one Authorization header" });
    expect(refused(right, "Bearer x")).toEqual({ rule: "one Authorization header" });
  });
});

test("a timestamp is taken within five minutes of our clock, either way", () => {
  const now = 1_800_000_000;
  const skew = (seconds: number) => () =>
    checkSkew({ timestamp: String(now + seconds), keyId: "", nonce: "", mac: Buffer.alloc(0) }, now * 1000 + 500);
  expect(skew(300)).not.toThrow();
  expect(skew(-300)).not.toThrow();
  expect(skew(301)).toThrow(SignatureError);
  expect(skew(-301)).toThrow(SignatureError);
});
