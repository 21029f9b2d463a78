import type { JobHelpers, Task } from "graphile-worker";
import { z } from "zod";

const payload = z.object({ tenantId: z.int().optional() }).nullish();

interface Account {
  tenant_id: number;
  provider_code: string;
  currency: string;
}

/** Calls a function of SQL about one account, and tells the number that it answers. */
type Step = (name: string) => Promise<number>;

const maxRounds = 20;

/**
 * Matches what statements say to what the books expect, of one tenant or of all, and puts the rest in suspense.
 * Every step is a database transaction of its own under the lock of its account, and may be done again: a job
 * that dies is taken up where it was.
 */
const matchEntries: Task = async (given, { query, logger, abortSignal }) => {
  const { rows } = await query<Account>("select * from app_private.accounts_to_reconcile($1)", [
    payload.parse(given)?.tenantId ?? null,
  ]);
  const failures: unknown[] = [];
  for (const account of rows) {
    if (abortSignal?.aborted) return;
    try {
      await matchAccount(account, query);
    } catch (error) {
      // The others are not held up.
      logger.error(`reconciliation of ${account.provider_code} ${account.currency}: ${String(error)}`);
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
};

export default matchEntries;

async function matchAccount(account: Account, query: JobHelpers["query"]): Promise<void> {
  const place = [account.tenant_id, account.provider_code, account.currency];
  const step: Step = async (name) => {
    const { rows } = await query<{ done: number }>(`select app_private.${name}($1, $2, $3) as done`, place);
    return rows[0]?.done ?? 0;
  };
  await repeat(() => step("collect_clearing_items"));
  for (let round = 0; round < maxRounds; round += 1) {
    const found = await step("find_matches");
    await settlePayments(place, query);
    const confirmed = await repeat(() => step("confirm_found_matches"));
    const returned = await returnPayments(place, query);
    if (found + confirmed + returned === 0) break;
  }
  await repeat(() => step("place_entries"));
}

async function repeat(step: () => Promise<number>): Promise<number> {
  let total = 0;
  for (let done = await step(); done > 0; done = await step()) total += done;
  return total;
}

/** One database transaction each, so that they lock nobody else's accounts in a batch. */
async function settlePayments(place: unknown[], query: JobHelpers["query"]): Promise<void> {
  for (;;) {
    const { rows } = await query<{ id: string }>("select * from app_private.payments_to_settle($1, $2, $3) id", place);
    if (rows.length === 0) return;
    for (const { id } of rows) await query("select app_private.settle_by_statement($1, $2)", [place[0], id]);
  }
}

async function returnPayments(place: unknown[], query: JobHelpers["query"]): Promise<number> {
  const { rows } = await query<{ payment_id: string; entry_id: string }>(
    "select * from app_private.payments_to_return($1, $2, $3)",
    place,
  );
  let returned = 0;
  for (const { payment_id, entry_id } of rows) {
    const answer = await query<{ is_done: boolean }>("select app_private.return_by_statement($1, $2, $3) as is_done", [
      place[0],
      payment_id,
      entry_id,
    ]);
    returned += answer.rows[0]?.is_done ? 1 : 0;
  }
  return returned;
}
