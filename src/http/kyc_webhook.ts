import express, { Router } from "express";
import type pg from "pg";
import type { Logger } from "pino";
import type { Config } from "../config.ts";
import { httpProvider } from "../providers/kyc/http_provider.ts";
import { parseReference } from "../providers/kyc/reference.ts";
import { sendStandardError } from "./error_response.ts";
import type { RateLimits } from "./rate_limits.ts";

export interface KycWebhookOptions {
  config: Config;
  pool: pg.Pool;
  rateLimits: RateLimits;
  log: Logger;
}

/**
 * Where the provider of verifications tells that there is news. A message only makes the worker ask sooner:
 * whoever could forge one would learn and change nothing.
 */
export function kycWebhook({ config, pool, rateLimits, log }: KycWebhookOptions): Router {
  const router = Router();
  if (config.kycProvider === undefined) return router;
  const provider = httpProvider(config.kycProvider);
  const readBytes = express.raw({ type: () => true, limit: 100_000, inflate: false });
  router.post("/api/v1/webhooks/kyc", rateLimits.limitAddress, readBytes, async (request, response) => {
    const body: unknown = request.body;
    const message = provider.readWebhook({
      body: Buffer.isBuffer(body) ? body : Buffer.alloc(0),
      signature: request.header("x-kyc-signature"),
    });
    if (!message) {
      log.warn("a webhook of the provider of verifications was not signed by it");
      return sendStandardError(response, { status: 401, code: "BAD_REQUEST", message: "The signature is not valid." });
    }
    const check = parseReference(message.reference);
    if (check) await hasten(pool, check.tenantId, check.id);
    response.status(202).end();
  });
  return router;
}

async function hasten(pool: pg.Pool, tenantId: number, id: string): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query("begin");
    await client.query("set local role tallystick_anonymous");
    await client.query("select app_hidden.hasten_kyc_check($1, $2)", [tenantId, id]);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    throw error;
  } finally {
    client.release();
  }
}
