import { createHash, createHmac, createSecretKey, hkdfSync, type KeyObject } from "node:crypto";
import type { Request, RequestHandler, Response } from "express";
import { ipKeyGenerator, rateLimit } from "express-rate-limit";
import type { Logger } from "pino";
import type { Config } from "../config.ts";
import type { RefusalCatalog } from "../graphql/refusals.ts";
import { RefusedError } from "../identity/refused.ts";
import { claimsOf } from "./authenticate.ts";
import { clientAddress } from "./client_address.ts";
import { sendRefusal } from "./error_response.ts";
import {
  CounterUnavailableError,
  type CountHits,
  type Hit,
  makeSharedCounter,
  type RateRule,
} from "./shared_counter.ts";
import type { Claims } from "./tokens.ts";

/** Whom a limit is for. */
export type LimitName = "address" | "user" | "tenant" | "key" | "sign-in";

/** The limits of the API, all counted together by the processes that share a database. */
export interface RateLimits {
  /** Those without a valid token, by address. */
  limitAddress: RequestHandler;
  /** Those with one: by API key, by user and by tenant. Anonymous requests pass. */
  limitCaller: RequestHandler[];
  /** Counts what is not a request, such as opening a web socket; the answer says whether it is within the limit. */
  countAddress(address: string): Promise<boolean>;
  countCaller(claims: Claims): Promise<boolean>;
  /**
   * Counts what takes passwords and the like: by address, few, exact, and nothing passes uncounted. Throws a
   * RefusedError for what is beyond the limit, or cannot be counted.
   */
  admitSignIn(address: string): Promise<void>;
  /** Tells the shared counters what they have not heard yet. */
  stop(): Promise<void>;
}

export interface RateLimitsOptions {
  config: Pick<Config, "rateLimits" | "jwtSecret">;
  refusals: RefusalCatalog;
  countHits: CountHits;
  log: Logger;
}

const windowSeconds = 60;
const info = "tallystick rate limits";

/** What stands for the key of a limit. */
interface HashedKey {
  bytes: Buffer;
  hex: string;
  /** What its client is told of it, as express-rate-limit makes it. */
  partition: string;
}

/** Hashes the key of a limit. Most requests come from callers that were here a moment ago: theirs are remembered. */
function makeKeyHash(secret: KeyObject): (name: LimitName, key: string) => HashedKey {
  const known = new Map<string, HashedKey>();
  return (name, key) => {
    const text = `${name}\0${key}`;
    let hashed = known.get(text);
    if (hashed === undefined) {
      const bytes = createHmac("sha256", secret).update(text).digest().subarray(0, 16);
      const hex = bytes.toString("hex");
      const partition = Buffer.from(createHash("sha256").update(hex).digest("hex").slice(0, 12)).toString("base64");
      hashed = { bytes, hex, partition };
      if (known.size >= 10_000) known.clear();
      known.set(text, hashed);
    }
    return hashed;
  };
}

/**
 * One rule for each limit. General limits go on counting alone while the database cannot: GraphQL answers
 * with "unavailable" then anyway. Signing in stops, because a guess that is not counted is a free one.
 */
export function makeRateRules(limits: Config["rateLimits"]): Record<LimitName, RateRule> {
  const general = (name: LimitName, limit: number): RateRule => {
    // 2 % of the limit for each process beyond the first, and never more than 50 hits.
    return { name, limit, windowSeconds, slack: Math.min(50, Math.floor(limit / 50)), inTrouble: "count alone" };
  };
  return {
    address: general("address", limits.address),
    user: general("user", limits.user),
    tenant: general("tenant", limits.tenant),
    key: general("key", limits.key),
    "sign-in": { name: "sign-in", limit: limits.signIn, windowSeconds, slack: 0, inTrouble: "refuse" },
  };
}

/** What express-rate-limit found out about a request. */
interface Limited {
  rateLimit?: { remaining: number; resetTime: Date | undefined };
}

/**
 * Tells a client how much of a limit is left, as draft 8 of the IETF has it, and returns in how many seconds it is
 * whole again. express-rate-limit would do it too, and hash the key anew with each request.
 */
function tellLimit(request: Request, response: Response, rule: RateRule, { partition }: HashedKey): number {
  const { remaining = 0, resetTime } = (request as Limited).rateLimit ?? {};
  const seconds = Math.max(0, Math.ceil(((resetTime?.getTime() ?? 0) - Date.now()) / 1000));
  if (response.headersSent) return seconds;
  response.append("RateLimit", `"${rule.name}"; r=${remaining}; t=${seconds}`);
  response.append("RateLimit-Policy", `"${rule.name}"; q=${rule.limit}; w=${rule.windowSeconds}; pk=:${partition}:`);
  return seconds;
}

/** The key of a caller for each limit that applies. An API key is a session of the role partner. */
function keysOf(claims: Claims): [LimitName, string][] {
  const keys: [LimitName, string][] = [["user", claims.userId]];
  if (claims.role === "partner") keys.unshift(["key", claims.sessionId]);
  if (claims.tenantId !== null) keys.push(["tenant", String(claims.tenantId)]);
  return keys;
}

/** A client with IPv6 has a whole /64 to choose its address from, so that is what counts. */
function addressKey(address: string): string {
  return ipKeyGenerator(address, 64);
}

export function makeRateLimits({ config, refusals, countHits, log }: RateLimitsOptions): RateLimits {
  const counter = makeSharedCounter({ countHits, log });
  const rules = makeRateRules(config.rateLimits);
  // The table of counters shall tell nobody who called, so keys are hashed with a secret of all processes.
  const hash = makeKeyHash(createSecretKey(Buffer.from(hkdfSync("sha256", config.jwtSecret, "", info, 32))));
  const hit = (name: LimitName, key: string): Promise<Hit> => counter.hit(hash(name, key).bytes, rules[name]);

  const limiter = (name: LimitName, keyOf: (request: Request) => string | undefined): RequestHandler => {
    const rule = rules[name];
    const limit = rateLimit({
      windowMs: rule.windowSeconds * 1000,
      limit: rule.limit,
      standardHeaders: false,
      legacyHeaders: false,
      // They watch over options that are not used here, at each request.
      validate: false,
      keyGenerator: (request) => hash(name, keyOf(request) ?? "").hex,
      store: {
        prefix: name,
        localKeys: false,
        increment: async (key) => {
          const { total, endsAt } = await counter.hit(Buffer.from(key, "hex"), rule);
          return { totalHits: total, resetTime: new Date(endsAt) };
        },
        // A hit is never taken back: none of our limits asks how a request ended.
        decrement: () => undefined,
        resetKey: () => undefined,
      },
      logger: {
        warn: (...about) => log.warn({ about }, "rate limit"),
        error: (...about) => log.error({ about }, "rate limit"),
      },
      handler: (request, response) => {
        response.setHeader("Retry-After", String(tellLimit(request, response, rule, hash(name, keyOf(request) ?? ""))));
        const detail = { limit: name, maximum: rule.limit, windowSeconds: rule.windowSeconds };
        sendRefusal(response, refusals, { status: 429, code: "LG462", detail });
      },
    });
    return (request, response, next) => {
      const key = keyOf(request);
      if (key === undefined) return next();
      return limit(request, response, (error?: unknown) => {
        if (error === undefined) tellLimit(request, response, rule, hash(name, key));
        next(error);
      });
    };
  };

  const keyOfCaller = (name: LimitName) => (request: Request) => {
    const claims = claimsOf(request);
    return claims && keysOf(claims).find(([limit]) => limit === name)?.[1];
  };
  const isWithin = async (name: LimitName, key: string): Promise<boolean> =>
    (await hit(name, key)).total <= rules[name].limit;
  return {
    limitAddress: limiter("address", (request) =>
      claimsOf(request) === undefined ? addressKey(clientAddress(request)) : undefined,
    ),
    // The narrowest first: who is over their own limit takes nothing from the others of the tenant.
    limitCaller: (["key", "user", "tenant"] as const).map((name) => limiter(name, keyOfCaller(name))),
    admitSignIn: async (address) => {
      const rule = rules["sign-in"];
      const { total, endsAt } = await hit("sign-in", addressKey(address)).catch((error: unknown) => {
        throw error instanceof CounterUnavailableError ? new RefusedError("LG363") : error;
      });
      if (total <= rule.limit) return;
      const retryAfterSeconds = Math.max(1, Math.ceil((endsAt - Date.now()) / 1000));
      const { name: limit, limit: maximum, windowSeconds } = rule;
      throw new RefusedError("LG462", { limit, maximum, windowSeconds, retryAfterSeconds });
    },
    countAddress: (address) => isWithin("address", addressKey(address)),
    countCaller: async (claims) => {
      for (const [name, key] of keysOf(claims)) if (!(await isWithin(name, key))) return false;
      return true;
    },
    stop: counter.stop,
  };
}
