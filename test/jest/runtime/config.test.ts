import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { ConfigError, loadConfig } from "../../../src/config.ts";
import { newKeyRing } from "../../../src/crypto/keys.ts";
import { loadSecrets } from "../../../src/postgres/secrets.ts";

const folder = mkdtempSync(join(tmpdir(), "tallystick-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const development = { TALLYSTICK_DATA_DIR: join(folder, "data") };
const production = {
  NODE_ENV: "production",
  TALLYSTICK_DATA_DIR: join(folder, "production"),
  DATABASE_URL: "postgres://owner:x@db.example.com/ledger",
  TALLYSTICK_JWT_SECRET: randomBytes(48).toString("base64"),
  TALLYSTICK_FIELD_KEYS: newKeyRing("k1"),
};

function problemsOf(env: Record<string, string>): string {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return "";
}

describe("loadConfig", () => {
  test("needs nothing in development", () => {
    expect(loadConfig(development)).toMatchObject({
      environment: "development",
      databaseUrl: undefined,
      host: "127.0.0.1",
      port: 5678,
      apiPoolSize: 10,
      corsOrigins: [],
      trustProxy: false,
    });
  });

  test("makes up a signing secret once, and keeps it to the user", () => {
    const { jwtSecret } = loadConfig(development);
    expect(jwtSecret.length).toBeGreaterThanOrEqual(32);
    expect(loadConfig(development).jwtSecret).toBe(jwtSecret);
    const file = join(development.TALLYSTICK_DATA_DIR, "secrets.json");
    expect(readFileSync(file, "utf8")).toContain(jwtSecret);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test("makes up keys of encrypted fields once", async () => {
    const keyOf = async (): Promise<string> =>
      (await loadConfig(development).fieldKeys.getKey("local")).toString("hex");
    expect(await keyOf()).toBe(await keyOf());
    const { fieldKeys } = loadConfig({ ...development, TALLYSTICK_FIELD_KEYS: newKeyRing("k7") });
    expect(await fieldKeys.currentKeyId()).toBe("k7");
  });

  test("takes keys from a setting or from a file, not from both", async () => {
    const file = join(folder, "field_keys");
    writeFileSync(file, newKeyRing("k8"));
    const { fieldKeys } = loadConfig({ ...development, TALLYSTICK_FIELD_KEY_FILE: file });
    expect(await fieldKeys.currentKeyId()).toBe("k8");
    const both = { TALLYSTICK_FIELD_KEYS: newKeyRing("k9"), TALLYSTICK_FIELD_KEY_FILE: file };
    expect(problemsOf({ ...development, ...both })).toContain("exclude each other");
    expect(problemsOf({ ...development, TALLYSTICK_FIELD_KEY_FILE: join(folder, "none") })).toContain(
      "TALLYSTICK_FIELD_KEY_FILE should name a file that can be read (ENOENT).",
    );
  });

  test("takes an empty value for one that is not set", () => {
    expect(loadConfig({ ...development, PORT: "", LOG_LEVEL: "" }).port).toBe(5678);
  });

  test("reports every bad value at once, by name", () => {
    const message = problemsOf({
      NODE_ENV: "prod",
      PORT: "80a",
      DATABASE_URL: "localhost:5432",
      TALLYSTICK_JWT_SECRET: "short",
      TALLYSTICK_CORS_ORIGINS: "https://app.example.com/",
      TALLYSTICK_TRUST_PROXY: "true",
    });
    for (const name of ["NODE_ENV", "PORT", "DATABASE_URL", "TALLYSTICK_JWT_SECRET", "TALLYSTICK_CORS_ORIGINS"]) {
      expect(message).toMatch(new RegExp(`^  ${name} should`, "m"));
    }
    expect(message).toMatch(/TALLYSTICK_TRUST_PROXY .*forge/);
  });

  test("never repeats a value, which may be a secret", () => {
    expect(problemsOf({ TALLYSTICK_JWT_SECRET: "hunter2" })).not.toContain("hunter2");
    const message = problemsOf({ ...development, TALLYSTICK_FIELD_KEYS: "k1:hunter2,index:hunter3" });
    expect(message).toContain("TALLYSTICK_FIELD_KEYS should give the key k1 as 32 bytes in base64.");
    expect(message).not.toContain("hunter");
  });

  test("requires a secret, keys and a database in production", () => {
    expect(loadConfig(production)).toMatchObject({ environment: "production", logLevel: "info" });
    const message = problemsOf({ NODE_ENV: "production" });
    expect(message).toContain("TALLYSTICK_JWT_SECRET is required in production");
    expect(message).toContain("TALLYSTICK_FIELD_KEYS or TALLYSTICK_FIELD_KEY_FILE is required in production");
    expect(message).toContain("DATABASE_URL is required in production");
    const problems = message.split("\n").slice(1);
    expect(problems).toEqual([...new Set(problems)]);
  });

  test("refuses passwords that are cheap to guess, in production alone", () => {
    const cheap = { TALLYSTICK_ARGON2_MEMORY_KIB: "1024", TALLYSTICK_ARGON2_PASSES: "1" };
    expect(loadConfig({ ...development, ...cheap }).argon2).toEqual({ memoryKib: 1024, passes: 1 });
    expect(loadConfig(production).argon2).toEqual({ memoryKib: 47_104, passes: 2 });
    for (const [name, value] of Object.entries(cheap)) {
      expect(problemsOf({ ...production, [name]: value })).toContain("should be 19456 and 2 at the least");
    }
  });

  test("reads a key set for tokens, and tells what is wrong with it", () => {
    expect(loadConfig(development).jwtKeys).toBeUndefined();
    expect(problemsOf({ ...development, TALLYSTICK_JWT_KEYS: "/no/such/file" })).toContain(
      "TALLYSTICK_JWT_KEYS should name a file that can be read (ENOENT).",
    );
  });

  const key = (byte: number): string => Buffer.alloc(32, byte).toString("base64");
  test.each([
    ["TALLYSTICK_JWT_SECRET", "x".repeat(64)],
    ["TALLYSTICK_JWT_SECRET", "change-me-change-me-change-me-please"],
    ["TALLYSTICK_JWT_SECRET", "A_Very_Long_Secret_That_Came_From_A_Tutorial"],
    ["TALLYSTICK_FIELD_KEYS", `k1:${key(7)},index:${randomBytes(32).toString("base64")}`],
    ["TALLYSTICK_FIELD_KEYS", `k1:${randomBytes(32).toString("base64")},index:${key(0)}`],
    ["DATABASE_URL", "postgres://postgres:postgres@db.example.com/ledger"],
    ["DATABASE_URL", "postgres://owner:password@db.example.com/ledger"],
    ["TALLYSTICK_API_DATABASE_URL", "postgres://tallystick_api:tallystick_api@db.example.com/ledger"],
    ["TALLYSTICK_WORKER_DATABASE_URL", "postgres://worker:ChangeMe@db.example.com/ledger"],
  ])("refuses a %s that can be guessed in production, and does not repeat it", (name, value) => {
    const message = problemsOf({ ...production, [name]: value });
    expect(message).toMatch(new RegExp(`^The configuration is not valid:\\n {2}${name} [^\\n]*can be guessed[^\\n]*$`));
    expect(message).not.toContain(value);
    expect(problemsOf({ ...development, [name]: value })).toBe("");
  });

  test("refuses in production what was made up for development", () => {
    const { jwtSecret } = loadConfig(development);
    const { fieldKeys } = loadSecrets(development.TALLYSTICK_DATA_DIR);
    const message = problemsOf({
      ...production,
      ...development,
      TALLYSTICK_JWT_SECRET: jwtSecret,
      TALLYSTICK_FIELD_KEYS: fieldKeys,
    });
    expect(message.split("\n").slice(1)).toEqual([
      "  TALLYSTICK_JWT_SECRET is the one that was made up for development.",
      "  TALLYSTICK_FIELD_KEYS holds a key that was made up for development.",
    ]);
  });

  test("takes random secrets of any form in production", () => {
    for (const encoding of ["base64", "base64url", "hex"] as const) {
      const TALLYSTICK_JWT_SECRET = randomBytes(48).toString(encoding);
      expect(problemsOf({ ...production, TALLYSTICK_JWT_SECRET })).toBe("");
    }
    const certificate = "postgres://tallystick_owner@db.example.com/ledger";
    expect(problemsOf({ ...production, DATABASE_URL: certificate })).toBe("");
  });

  test("derives the rate limits from one number, and takes each by itself", () => {
    const { rateLimits } = loadConfig(development);
    expect(rateLimits).toEqual({ user: 600, address: 600, key: 600, tenant: 12_000, signIn: 20 });
    const given = loadConfig({
      ...development,
      TALLYSTICK_RATE_LIMIT_PER_MINUTE: "50",
      TALLYSTICK_RATE_LIMIT_ADDRESS_PER_MINUTE: "7",
      TALLYSTICK_RATE_LIMIT_SIGN_IN_PER_MINUTE: "5",
    });
    expect(given.rateLimits).toEqual({ user: 50, address: 7, key: 50, tenant: 1_000, signIn: 5 });
    for (const bad of ["0", "-1", "1.5", "many", "9999999999"]) {
      expect(problemsOf({ TALLYSTICK_RATE_LIMIT_TENANT_PER_MINUTE: bad })).toContain("a whole number from 1");
    }
  });

  test("takes any operation, opens /metrics and stops at once only where it is told so, or in development", () => {
    expect(loadConfig(development)).toMatchObject({
      persistedOperations: undefined,
      allowAnyOperation: false,
      maxQueryCost: 50_000,
      drainSeconds: 0,
      metricsToken: undefined,
    });
    expect(problemsOf({ TALLYSTICK_ALLOW_ANY_OPERATION: "yes" })).toContain("should be true or false");
    expect(problemsOf({ TALLYSTICK_METRICS_TOKEN: "short" })).toContain("16 characters or more");
    expect(problemsOf({ TALLYSTICK_DRAIN_SECONDS: "301" })).toContain("a whole number from 0 to 300");
  });

  test("reads lists, numbers and addresses", () => {
    const config = loadConfig({
      ...production,
      TALLYSTICK_CORS_ORIGINS: "https://app.example.com, http://localhost:3000",
      TALLYSTICK_TRUST_PROXY: "10.0.0.0/8,loopback",
    });
    expect(config.corsOrigins).toEqual(["https://app.example.com", "http://localhost:3000"]);
    expect(config.trustProxy).toEqual(["10.0.0.0/8", "loopback"]);
    expect(loadConfig({ ...production, TALLYSTICK_TRUST_PROXY: "2" }).trustProxy).toBe(2);
  });
});
