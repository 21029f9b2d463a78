import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { z } from "zod";
import { fileKeys, fixedKeys, type KeyProvider, parseKeyRing, readKeyFile } from "./crypto/keys.ts";
import { guessableSecrets } from "./guessable_secrets.ts";
import { readTokenKeys, type TokenKeys } from "./http/token_keys.ts";
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
  /** The key set that signs access tokens; undefined: the secret does. */
  jwtKeys: TokenKeys | undefined;
  /** How long access tokens and idle sessions last. */
  lifetimes: { accessTokenSeconds: number; idleSeconds: number };
  /** What hashing a password costs, with Argon2id. */
  argon2: { memoryKib: number; passes: number };
  /** How many passwords are hashed at a time, and how many wait. */
  hashing: { concurrency: number; queue: number };
  /** The keys of encrypted fields. */
  fieldKeys: KeyProvider;
  /** The provider that verifies customers. Undefined: nobody is asked, and cases wait. */
  kycProvider: { url: string; secret: string } | undefined;
  /** Where payment providers are: no tenant decides that. */
  paymentProviders: {
    /** The simulated one. Undefined: there is none. */
    simulatedUrl: string | undefined;
    /** Undefined: the API of Stripe itself. */
    stripeUrl: string | undefined;
    /** Where files for banks are written, in a folder for each tenant. Undefined: nowhere, and they wait. */
    bankFileFolder: string | undefined;
  };
  /** Also the secret of the simulated provider. */
  kycProviderSecret: string | undefined;
  logLevel: (typeof logLevels)[number];
  workerConcurrency: number;
  /** Where the worker shows its figures and that it lives. Undefined: nowhere. */
  workerPort: number | undefined;
  apiPoolSize: number;
  /** How many requests may wait to be posted together with others. */
  postingQueue: number;
  /** Origins that browsers may call from; empty = none but our own. */
  corsOrigins: string[];
  /** Express's `trust proxy`: false, the number of proxies, or their addresses. */
  trustProxy: boolean | number | string[];
  /** Requests a minute: of a user, of an address without a valid token, of an API key, of a tenant; and signing in. */
  rateLimits: { user: number; address: number; key: number; tenant: number; signIn: number };
  /** The folder of the operations that clients may send. Undefined: any, which production takes only when told so. */
  persistedOperations: string | undefined;
  /** Operations that are not in that folder are taken too. */
  allowAnyOperation: boolean;
  /** What one operation may cost at most: about as many objects as it may answer with. */
  maxQueryCost: number;
  /** How long the API goes on serving after it was told to stop, saying that it is not ready. */
  drainSeconds: number;
  /** What GET /metrics asks for. Undefined: open, and in production closed. */
  metricsToken: string | undefined;
  /** Where the hashes of sealed blocks are appended. Undefined: to no file. */
  anchorFile: string | undefined;
  /** Where they are posted to. Undefined: nowhere. */
  anchorUrl: string | undefined;
  /** Webhooks may go to addresses that are not public, and over http: for development and tests. */
  webhooksAllowPrivate: boolean;
  /** For how many days events are kept. */
  eventRetentionDays: number;
  /** For how many months the audit trail is kept. Undefined: for ever. */
  auditRetentionMonths: number | undefined;
  /** Where mails go. Undefined: the mail catcher of development, or nowhere. */
  mail: MailSettings | undefined;
  /** Who sends short messages. Undefined: they are not sent. */
  gateways: { sms: GatewaySettings | undefined; chat: GatewaySettings | undefined };
  /** Where people reach the API, for links in messages. */
  publicUrl: string;
}

/** A mail server, and whom mails are from. */
export interface MailSettings {
  url: string;
  from: string;
  /** Refuse a server that speaks no TLS. */
  requireTls: boolean;
}

/** A provider of short messages: where it answers, and the key of our signatures. */
export interface GatewaySettings {
  url: string;
  secret: Buffer;
}

const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

const postgresUrl = z
  .string()
  .refine((text) => /^postgres(ql)?:\/\//.test(text) && URL.canParse(text) && new URL(text).pathname.length > 1, {
    error: "should be a URL such as postgres://user:password@host:5432/database",
  })
  .optional();

const httpUrl = z
  .string()
  .refine((text) => /^https?:\/\//.test(text) && URL.canParse(text), {
    error: "should be a URL such as https://kyc.example.com/v1",
  })
  .transform((text) => text.replace(/\/$/, ""));

const smtpUrl = z
  .string()
  .refine((text) => /^smtps?:\/\//.test(text) && URL.canParse(text) && new URL(text).hostname !== "", {
    error: "should be a URL such as smtp://user:password@mail.example.com:587",
  });

const mailAddress = z.string().refine((text) => /^([^<>"\r\n]{1,100} )?<?[^\s<>@"]+@[^\s<>@"]+>?$/.test(text), {
  error: "should be an address such as Acme <no-reply@example.com>",
});

const gatewaySecret = z.string().min(32, { error: "should have 32 characters or more" });

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

const trustProxy = z
  .string()
  .refine((text) => text !== "true", {
    error: "should be false, the number of proxies in front, or their addresses; true would let clients forge theirs",
  })
  .transform((text) => (text === "false" ? false : /^\d+$/.test(text) ? Number(text) : splitList(text)));

/** Runs a check that throws what is wrong, as the end of a sentence about the setting. */
const checkedBy = <T>(check: (text: string) => T): z.ZodType<T, string> =>
  z.string().transform((text, context) => {
    try {
      return check(text);
    } catch (error) {
      context.addIssue({ code: "custom", message: (error as Error).message });
      return z.NEVER;
    }
  });

const keyFile = checkedBy((path) => {
  readKeyFile(path);
  return fileKeys(path);
});
const perMinute = integer(1, 999_999_999);

const yesOrNo = z.enum(["true", "false"], { error: "should be true or false" }).transform((text) => text === "true");

const environment = z.object({
  NODE_ENV: oneOf(["development", "test", "production"] as const).default("development"),
  DATABASE_URL: postgresUrl,
  TALLYSTICK_API_DATABASE_URL: postgresUrl,
  TALLYSTICK_WORKER_DATABASE_URL: postgresUrl,
  HOST: z.string().default("127.0.0.1"),
  PORT: integer(0, 65535).default(5678),
  TALLYSTICK_DATA_DIR: z.string().default(".data"),
  TALLYSTICK_JWT_SECRET: z.string().min(32, { error: "should have 32 characters or more" }).optional(),
  TALLYSTICK_JWT_KEYS: checkedBy(readTokenKeys).optional(),
  TALLYSTICK_ACCESS_TOKEN_MINUTES: integer(1, 60).default(10),
  TALLYSTICK_SESSION_IDLE_HOURS: integer(1, 8760).default(24),
  TALLYSTICK_ARGON2_MEMORY_KIB: integer(8, 4_194_304).default(47_104),
  TALLYSTICK_ARGON2_PASSES: integer(1, 100).default(2),
  TALLYSTICK_HASHING_CONCURRENCY: integer(1, 64).default(availableParallelism() < 4 ? 1 : 2),
  TALLYSTICK_HASHING_QUEUE: integer(0, 10_000).default(100),
  TALLYSTICK_FIELD_KEYS: checkedBy(parseKeyRing).optional(),
  TALLYSTICK_FIELD_KEY_FILE: keyFile.optional(),
  TALLYSTICK_KYC_PROVIDER_URL: httpUrl.optional(),
  TALLYSTICK_KYC_PROVIDER_SECRET: z.string().min(32, { error: "should have 32 characters or more" }).optional(),
  TALLYSTICK_SIMULATED_PROVIDER_URL: httpUrl.optional(),
  TALLYSTICK_STRIPE_URL: httpUrl.optional(),
  TALLYSTICK_BANK_FILE_FOLDER: z.string().optional(),
  LOG_LEVEL: oneOf(logLevels).optional(),
  TALLYSTICK_WORKER_CONCURRENCY: integer(1, 200).default(4),
  TALLYSTICK_WORKER_PORT: integer(0, 65535).optional(),
  TALLYSTICK_API_POOL_SIZE: integer(1, 500).default(10),
  TALLYSTICK_POSTING_QUEUE: integer(1, 1_000_000).default(5000),
  TALLYSTICK_CORS_ORIGINS: origins.default([]),
  TALLYSTICK_TRUST_PROXY: trustProxy.default(false),
  TALLYSTICK_RATE_LIMIT_PER_MINUTE: perMinute.default(600),
  TALLYSTICK_RATE_LIMIT_ADDRESS_PER_MINUTE: perMinute.optional(),
  TALLYSTICK_RATE_LIMIT_KEY_PER_MINUTE: perMinute.optional(),
  TALLYSTICK_RATE_LIMIT_TENANT_PER_MINUTE: perMinute.optional(),
  TALLYSTICK_RATE_LIMIT_SIGN_IN_PER_MINUTE: perMinute.default(20),
  TALLYSTICK_PERSISTED_OPERATIONS: z.string().optional(),
  TALLYSTICK_ALLOW_ANY_OPERATION: yesOrNo.default(false),
  TALLYSTICK_MAX_QUERY_COST: integer(1, 999_999_999).default(50_000),
  TALLYSTICK_DRAIN_SECONDS: integer(0, 300).default(0),
  TALLYSTICK_METRICS_TOKEN: z.string().min(16, { error: "should have 16 characters or more" }).optional(),
  TALLYSTICK_ANCHOR_FILE: z.string().optional(),
  TALLYSTICK_ANCHOR_URL: httpUrl.optional(),
  TALLYSTICK_WEBHOOKS_ALLOW_PRIVATE: yesOrNo.default(false),
  TALLYSTICK_EVENT_RETENTION_DAYS: integer(7, 36_500).default(90),
  // PCI DSS wants a year of it; the database refuses less, too.
  TALLYSTICK_AUDIT_RETENTION_MONTHS: integer(12, 1200).optional(),
  TALLYSTICK_SMTP_URL: smtpUrl.optional(),
  TALLYSTICK_MAIL_FROM: mailAddress.optional(),
  TALLYSTICK_SMTP_ALLOW_PLAINTEXT: yesOrNo.optional(),
  TALLYSTICK_SMS_URL: httpUrl.optional(),
  TALLYSTICK_SMS_SECRET: gatewaySecret.optional(),
  TALLYSTICK_CHAT_URL: httpUrl.optional(),
  TALLYSTICK_CHAT_SECRET: gatewaySecret.optional(),
  TALLYSTICK_PUBLIC_URL: httpUrl.optional(),
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
  if (given["TALLYSTICK_FIELD_KEYS"] && given["TALLYSTICK_FIELD_KEY_FILE"]) {
    problems.push("TALLYSTICK_FIELD_KEYS and TALLYSTICK_FIELD_KEY_FILE exclude each other.");
  }
  if (given["NODE_ENV"] === "production") {
    problems.push(...missingInProduction(given));
    problems.push(...guessableSecrets(given, resolve(given["TALLYSTICK_DATA_DIR"] ?? ".data")));
  }
  if (values?.NODE_ENV === "production" && isCheapToGuess(values)) {
    problems.push("TALLYSTICK_ARGON2_MEMORY_KIB and TALLYSTICK_ARGON2_PASSES should be 19456 and 2 at the least.");
  }
  for (const [name, other] of goTogether) {
    if (given[name] && !given[other]) problems.push(`${name} needs ${other}.`);
  }
  if (values?.NODE_ENV === "production" && values.TALLYSTICK_WEBHOOKS_ALLOW_PRIVATE) {
    problems.push("TALLYSTICK_WEBHOOKS_ALLOW_PRIVATE is for development and tests: webhooks could reach this network.");
  }
  if (given["TALLYSTICK_KYC_PROVIDER_URL"] && !given["TALLYSTICK_KYC_PROVIDER_SECRET"]) {
    problems.push("TALLYSTICK_KYC_PROVIDER_URL needs TALLYSTICK_KYC_PROVIDER_SECRET.");
  }
  if (!values || problems.length > 0) throw new ConfigError(problems);
  const dataDir = resolve(values.TALLYSTICK_DATA_DIR);
  const { TALLYSTICK_KYC_PROVIDER_URL: kycProviderUrl, TALLYSTICK_KYC_PROVIDER_SECRET: kycSecret } = values;
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
    jwtKeys: values.TALLYSTICK_JWT_KEYS,
    lifetimes: {
      accessTokenSeconds: values.TALLYSTICK_ACCESS_TOKEN_MINUTES * 60,
      idleSeconds: values.TALLYSTICK_SESSION_IDLE_HOURS * 3600,
    },
    argon2: { memoryKib: values.TALLYSTICK_ARGON2_MEMORY_KIB, passes: values.TALLYSTICK_ARGON2_PASSES },
    hashing: { concurrency: values.TALLYSTICK_HASHING_CONCURRENCY, queue: values.TALLYSTICK_HASHING_QUEUE },
    fieldKeys:
      values.TALLYSTICK_FIELD_KEY_FILE ??
      fixedKeys(values.TALLYSTICK_FIELD_KEYS ?? parseKeyRing(loadSecrets(dataDir).fieldKeys)),
    kycProvider: kycProviderUrl && kycSecret ? { url: kycProviderUrl, secret: kycSecret } : undefined,
    kycProviderSecret: kycSecret,
    paymentProviders: {
      simulatedUrl: values.TALLYSTICK_SIMULATED_PROVIDER_URL,
      stripeUrl: values.TALLYSTICK_STRIPE_URL,
      bankFileFolder: values.TALLYSTICK_BANK_FILE_FOLDER && resolve(values.TALLYSTICK_BANK_FILE_FOLDER),
    },
    logLevel: values.LOG_LEVEL ?? defaultLogLevel[values.NODE_ENV],
    workerConcurrency: values.TALLYSTICK_WORKER_CONCURRENCY,
    workerPort: values.TALLYSTICK_WORKER_PORT,
    apiPoolSize: values.TALLYSTICK_API_POOL_SIZE,
    postingQueue: values.TALLYSTICK_POSTING_QUEUE,
    corsOrigins: values.TALLYSTICK_CORS_ORIGINS,
    trustProxy: values.TALLYSTICK_TRUST_PROXY,
    rateLimits: rateLimitsOf(values),
    persistedOperations: values.TALLYSTICK_PERSISTED_OPERATIONS && resolve(values.TALLYSTICK_PERSISTED_OPERATIONS),
    allowAnyOperation: values.TALLYSTICK_ALLOW_ANY_OPERATION,
    maxQueryCost: values.TALLYSTICK_MAX_QUERY_COST,
    drainSeconds: values.TALLYSTICK_DRAIN_SECONDS,
    metricsToken: values.TALLYSTICK_METRICS_TOKEN,
    anchorFile: values.TALLYSTICK_ANCHOR_FILE && resolve(values.TALLYSTICK_ANCHOR_FILE),
    anchorUrl: values.TALLYSTICK_ANCHOR_URL,
    webhooksAllowPrivate: values.TALLYSTICK_WEBHOOKS_ALLOW_PRIVATE,
    eventRetentionDays: values.TALLYSTICK_EVENT_RETENTION_DAYS,
    auditRetentionMonths: values.TALLYSTICK_AUDIT_RETENTION_MONTHS,
    mail: mailOf(values),
    gateways: {
      sms: gatewayOf(values.TALLYSTICK_SMS_URL, values.TALLYSTICK_SMS_SECRET),
      chat: gatewayOf(values.TALLYSTICK_CHAT_URL, values.TALLYSTICK_CHAT_SECRET),
    },
    publicUrl: values.TALLYSTICK_PUBLIC_URL ?? `http://${values.HOST}:${values.PORT}`,
  };
}

/** Settings that are no use without another. */
const goTogether = [
  ["TALLYSTICK_KYC_PROVIDER_URL", "TALLYSTICK_KYC_PROVIDER_SECRET"],
  ["TALLYSTICK_SMTP_URL", "TALLYSTICK_MAIL_FROM"],
  ["TALLYSTICK_SMS_URL", "TALLYSTICK_SMS_SECRET"],
  ["TALLYSTICK_CHAT_URL", "TALLYSTICK_CHAT_SECRET"],
] as const;

type Values = z.infer<typeof environment>;

/** Tokens are in mails: in production they go over TLS unless somebody says that they need not. */
function mailOf({ NODE_ENV, ...values }: Values): MailSettings | undefined {
  const { TALLYSTICK_SMTP_URL: url, TALLYSTICK_MAIL_FROM: from } = values;
  const allowPlaintext = values.TALLYSTICK_SMTP_ALLOW_PLAINTEXT ?? NODE_ENV !== "production";
  return url && from ? { url, from, requireTls: !allowPlaintext } : undefined;
}

function gatewayOf(url: string | undefined, secret: string | undefined): GatewaySettings | undefined {
  return url && secret ? { url, secret: Buffer.from(secret) } : undefined;
}

/** One number sets all but signing in; each may be set by itself. */
function rateLimitsOf(values: z.infer<typeof environment>): Config["rateLimits"] {
  const user = values.TALLYSTICK_RATE_LIMIT_PER_MINUTE;
  return {
    user,
    address: values.TALLYSTICK_RATE_LIMIT_ADDRESS_PER_MINUTE ?? user,
    key: values.TALLYSTICK_RATE_LIMIT_KEY_PER_MINUTE ?? user,
    tenant: values.TALLYSTICK_RATE_LIMIT_TENANT_PER_MINUTE ?? 20 * user,
    signIn: values.TALLYSTICK_RATE_LIMIT_SIGN_IN_PER_MINUTE,
  };
}

// A developer reads the terminal; in production a collector reads everything.
const defaultLogLevel = { development: "warn", test: "silent", production: "info" } as const;

/** Below the least that OWASP recommends for Argon2id. */
function isCheapToGuess(values: { TALLYSTICK_ARGON2_MEMORY_KIB: number; TALLYSTICK_ARGON2_PASSES: number }): boolean {
  return values.TALLYSTICK_ARGON2_MEMORY_KIB < 19_456 || values.TALLYSTICK_ARGON2_PASSES < 2;
}

function missingInProduction(given: Record<string, string | undefined>): string[] {
  const problems: string[] = [];
  if (given["TALLYSTICK_JWT_SECRET"] === undefined) {
    problems.push("TALLYSTICK_JWT_SECRET is required in production (32 characters or more).");
  }
  if (given["TALLYSTICK_FIELD_KEYS"] === undefined && given["TALLYSTICK_FIELD_KEY_FILE"] === undefined) {
    problems.push("TALLYSTICK_FIELD_KEYS or TALLYSTICK_FIELD_KEY_FILE is required in production.");
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
