import { resolve } from "node:path";
import { z } from "zod";
import { loadSecrets } from "./postgres/secrets.ts";

/** What the environment decides, read and checked once. Nothing else reads process.env. */
export interface Config {
  environment: "development" | "test" | "production";
  /** The owner's or a superuser's URL. Undefined: use the embedded server. */
  databaseUrl: string | undefined;
  /** The API's login. Undefined: derived from the embedded server or from `databaseUrl`. */
  apiDatabaseUrl: string | undefined;
  /** The worker's login. Undefined: derived as above. */
  workerDatabaseUrl: string | undefined;
  host: string;
  port: number;
  dataDir: string;
  jwtSecret: string;
  logLevel: (typeof logLevels)[number];
  workerConcurrency: number;
  apiPoolSize: number;
  /** Origins that browsers may call from; empty = none but our own. */
  corsOrigins: string[];
  /** Express's `trust proxy`: false, the number of proxies, or their addresses. */
  trustProxy: boolean | number | string[];
  rateLimitPerMinute: number;
  /** Where the hashes of sealed blocks are appended. Undefined: to no file. */
  anchorFile: string | undefined;
  /** Where they are posted to. Undefined: nowhere. */
  anchorUrl: string | undefined;
  /** For how many months the audit trail is kept. Undefined: for ever. */
  auditRetentionMonths: number | undefined;
}

const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

const postgresUrl = z
  .string()
  .refine((text) => /^postgres(ql)?:\/\//.test(text) && URL.canParse(text) && new URL(text).pathname.length > 1, {
    error: "should be a URL such as postgres://user:password@host:5432/database",
  })
  .optional();

const integer = (low: number, high: number): z.ZodType<number, string> =>
  z
    .string()
    .refine((text) => /^\d{1,9}$/.test(text) && Number(text) >= low && Number(text) <= high, {
      error: `should be a whole number from ${low} to ${high}`,
    })
    .transform(Number);

const oneOf = <T extends readonly [string, ...string[]]>(names: T): z.ZodEnum<{ [K in T[number]]: K }> =>
  z.enum(names, { error: `should be one of ${names.join(", ")}` });

const origins = z
  .string()
  .transform(splitList)
  .refine((list) => list.every((text) => URL.canParse(text) && new URL(text).origin === text), {
    error: "should be a comma-separated list of origins such as https://app.example.com (no path, no final slash)",
  });

const httpUrl = z.string().refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), {
  error: "should be a URL that begins with https:// or http://",
});

const trustProxy = z
  .string()
  .refine((text) => text !== "true", {
    error: "should be false, the number of proxies in front, or their addresses; true would let clients forge theirs",
  })
  .transform((text) => (text === "false" ? false : /^\d+$/.test(text) ? Number(text) : splitList(text)));

const environment = z.object({
  NODE_ENV: oneOf(["development", "test", "production"] as const).default("development"),
  DATABASE_URL: postgresUrl,
  TALLYSTICK_API_DATABASE_URL: postgresUrl,
  TALLYSTICK_WORKER_DATABASE_URL: postgresUrl,
  HOST: z.string().default("127.0.0.1"),
  PORT: integer(0, 65535).default(5678),
  TALLYSTICK_DATA_DIR: z.string().default(".data"),
  TALLYSTICK_JWT_SECRET: z.string().min(32, { error: "should have 32 characters or more" }).optional(),
  LOG_LEVEL: oneOf(logLevels).optional(),
  TALLYSTICK_WORKER_CONCURRENCY: integer(1, 200).default(4),
  TALLYSTICK_API_POOL_SIZE: integer(1, 500).default(10),
  TALLYSTICK_CORS_ORIGINS: origins.default([]),
  TALLYSTICK_TRUST_PROXY: trustProxy.default(false),
  TALLYSTICK_RATE_LIMIT_PER_MINUTE: integer(1, 999_999_999).default(600),
  TALLYSTICK_ANCHOR_FILE: z.string().optional(),
  TALLYSTICK_ANCHOR_URL: httpUrl.optional(),
  // PCI DSS wants a year of it; the database refuses less, too.
  TALLYSTICK_AUDIT_RETENTION_MONTHS: integer(12, 1200).optional(),
});

/** The names of all settings, for the checks of `.env.example` and the container files. */
export const settingNames: readonly string[] = Object.keys(environment.shape);

/** One or more settings are wrong; the message has one line for each. */
export class ConfigError extends Error {
  constructor(problems: string[]) {
    super(["The configuration is not valid:", ...problems.map((problem) => `  ${problem}`)].join("\n"));
    this.name = "ConfigError";
  }
}

/** Reads the configuration; throws a ConfigError that names every bad value at once. */
export function loadConfig(env: Record<string, string | undefined>): Config {
  // An empty value is how docker compose and CI systems spell "not set".
  const given = Object.fromEntries(settingNames.map((name) => [name, env[name] || undefined]));
  const parsed = environment.safeParse(given);
  const problems = parsed.error?.issues.map((issue) => `${issue.path.join(".")} ${issue.message}.`) ?? [];
  const values = parsed.data;
  if (given["NODE_ENV"] === "production") problems.push(...missingInProduction(given));
  if (!values || problems.length > 0) throw new ConfigError(problems);
  const dataDir = resolve(values.TALLYSTICK_DATA_DIR);
  return {
    environment: values.NODE_ENV,
    databaseUrl: values.DATABASE_URL,
    apiDatabaseUrl: values.TALLYSTICK_API_DATABASE_URL,
    workerDatabaseUrl: values.TALLYSTICK_WORKER_DATABASE_URL,
    host: values.HOST,
    port: values.PORT,
    dataDir,
    // Outside production a secret is made once and kept beside the embedded database.
    jwtSecret: values.TALLYSTICK_JWT_SECRET ?? loadSecrets(dataDir).jwtSecret,
    logLevel: values.LOG_LEVEL ?? defaultLogLevel[values.NODE_ENV],
    workerConcurrency: values.TALLYSTICK_WORKER_CONCURRENCY,
    apiPoolSize: values.TALLYSTICK_API_POOL_SIZE,
    corsOrigins: values.TALLYSTICK_CORS_ORIGINS,
    trustProxy: values.TALLYSTICK_TRUST_PROXY,
    rateLimitPerMinute: values.TALLYSTICK_RATE_LIMIT_PER_MINUTE,
    anchorFile: values.TALLYSTICK_ANCHOR_FILE === undefined ? undefined : resolve(values.TALLYSTICK_ANCHOR_FILE),
    anchorUrl: values.TALLYSTICK_ANCHOR_URL,
    auditRetentionMonths: values.TALLYSTICK_AUDIT_RETENTION_MONTHS,
  };
}

/** The configuration of this process, for jobs: the worker hands them no more than a connection. */
export function currentConfig(): Config {
  return loadConfig(process.env);
}

// A developer reads the terminal; in production a collector reads everything.
const defaultLogLevel = { development: "warn", test: "silent", production: "info" } as const;

function missingInProduction(given: Record<string, string | undefined>): string[] {
  const problems: string[] = [];
  if (given["TALLYSTICK_JWT_SECRET"] === undefined) {
    problems.push("TALLYSTICK_JWT_SECRET is required in production (32 characters or more).");
  }
  const urls = ["DATABASE_URL", "TALLYSTICK_API_DATABASE_URL", "TALLYSTICK_WORKER_DATABASE_URL"];
  if (urls.every((name) => given[name] === undefined)) {
    problems.push("DATABASE_URL is required in production (or the URLs of the API's and the worker's logins).");
  }
  return problems;
}

function splitList(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}
