import type { JobHelpers, Task } from "graphile-worker";
import type { KeyProvider } from "../../src/crypto/keys.ts";
import { openReference } from "../../src/customers/evidence.ts";
import { httpProvider } from "../../src/providers/kyc/http_provider.ts";
import {
  type CheckAnswer,
  type CheckRequest,
  type KycProvider,
  ProviderError,
} from "../../src/providers/kyc/provider.ts";
import { referenceOf } from "../../src/providers/kyc/reference.ts";
import type { TaskServices } from "../../src/worker.ts";

interface DueCheck {
  tenant_id: number;
  id: string;
  level: number;
  provider_reference: string | null;
}

interface Services {
  keys: KeyProvider;
  provider: KycProvider;
  query: JobHelpers["query"];
}

/**
 * Asks the provider about every verification that is due: hands it over the first time, asks how it stands
 * after that. What it reads and writes are database transactions of their own, before and after the call and
 * never around it. One that dies on the way is asked again when its turn comes: the provider knows it by its
 * reference.
 */
export function makeTask({ config }: TaskServices): Task {
  return async (_payload, helpers) => {
    if (config.kycProvider === undefined) return;
    const { query } = helpers;
    const services = { keys: config.fieldKeys, provider: httpProvider(config.kycProvider), query };
    const failures: unknown[] = [];
    while (!helpers.abortSignal?.aborted) {
      const { rows } = await query<DueCheck | { tenant_id: null }>("select * from app_private.take_due_kyc_check()");
      const check = rows[0];
      if (check?.tenant_id == null) break;
      try {
        await record(query, check, await ask(services, check));
      } catch (error) {
        // It stays due: the next attempt waits longer. The others are not held up.
        if (error instanceof ProviderError) helpers.logger.warn(`verification ${check.id}: ${error.message}`);
        else failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  };
}

async function ask(services: Services, check: DueCheck): Promise<CheckAnswer> {
  const { provider } = services;
  if (check.provider_reference !== null) return provider.getCheck(check.provider_reference);
  const { tenant_id: tenantId, id, level } = check;
  return provider.submitCheck({
    reference: referenceOf({ tenantId, id }),
    level,
    evidence: await readEvidence(services, check),
  });
}

async function readEvidence({ query, keys }: Services, check: DueCheck): Promise<CheckRequest["evidence"]> {
  const { rows } = await query<{ evidence_id: string; kind: string; ciphertext: Buffer }>(
    "select * from app_private.kyc_check_evidence($1, $2)",
    [check.tenant_id, check.id],
  );
  return Promise.all(
    rows.map(async ({ evidence_id: id, kind, ciphertext }) => ({
      kind,
      reference: await openReference(keys, { tenantId: check.tenant_id, id }, ciphertext),
    })),
  );
}

async function record(query: Services["query"], { tenant_id, id }: DueCheck, answer: CheckAnswer): Promise<void> {
  await query("select app_private.record_kyc_check($1, $2, $3::app_public.kyc_check_status, $4, $5)", [
    tenant_id,
    id,
    answer.status,
    answer.id,
    answer.finding ?? null,
  ]);
}
