import type pg from "pg";

/** A payment as the provider's own books have it, from its report. */
export interface ProviderPayment {
  reference: string;
  kind: "pay_in" | "pay_out" | "refund";
  amount: string;
  currency: string;
  state: "submitted" | "settled" | "failed" | "cancelled" | "returned";
}

/** A payment as the ledger has it. */
interface LedgerPayment {
  id: string;
  kind: string;
  amount: string;
  status: string;
}

/** Everything in which two books differ, one sentence each; none = they agree to the cent. */
export async function compareBooks(
  owner: pg.ClientBase,
  tenantId: number,
  provider: ProviderPayment[],
  keys: string[],
): Promise<string[]> {
  const ours = await owner.query<LedgerPayment & { idempotency_key: string }>(
    "select id, kind, amount::text, status, idempotency_key from app_public.payments where tenant_id = $1",
    [tenantId],
  );
  const theirs = new Map(provider.map((payment) => [payment.reference, payment]));
  const asked = ours.rows.map((payment) => payment.idempotency_key);
  return [
    ...keys.filter((key) => !asked.includes(key)).map((key) => `The payment ${key} was asked for and is not there.`),
    ...(new Set(asked).size === asked.length ? [] : ["A payment is there twice."]),
    ...ours.rows.flatMap((payment) => differenceOf(payment, theirs.get(payment.id))),
    ...provider
      .filter(({ reference }) => !ours.rows.some(({ id }) => id === reference))
      .map(({ reference }) => `The provider moved ${reference}, which nobody asked for.`),
    ...(await compareClearing(owner, tenantId, provider)),
    ...(await findViolations(owner, tenantId)),
  ];
}

/** What a payment should be by the provider's books: each of its states has one of ours. */
const statusOf = {
  submitted: "submitted",
  settled: "settled",
  failed: "failed",
  cancelled: "cancelled",
  returned: "returned",
};

function differenceOf(ours: LedgerPayment, theirs: ProviderPayment | undefined): string[] {
  if (!theirs) {
    return ours.status === "settled" || ours.status === "returned"
      ? [`${ours.id} is ${ours.status}, and the provider has never heard of it.`]
      : [];
  }
  if (statusOf[theirs.state] !== ours.status) {
    return [`${ours.id} is ${ours.status}, and ${theirs.state} in the books of the provider.`];
  }
  return theirs.amount === ours.amount ? [] : [`${ours.id} is of ${ours.amount}, and ${theirs.amount} were moved.`];
}

/** The account that stands for the provider must hold what the provider holds. */
async function compareClearing(owner: pg.ClientBase, tenantId: number, provider: ProviderPayment[]): Promise<string[]> {
  const { rows } = await owner.query<{ balance: string }>(
    `select (b.posted_debits::numeric - b.posted_credits)::text as balance
     from app_public.account_balances b
     join app_public.accounts a on a.tenant_id = b.tenant_id and a.id = b.account_id
     where a.tenant_id = $1 and a.code = 'clearing'`,
    [tenantId],
  );
  const held = provider
    .filter(({ state }) => state === "settled")
    .reduce((sum, { kind, amount }) => sum + (kind === "pay_in" ? BigInt(amount) : -BigInt(amount)), 0n);
  const balance = rows[0]?.balance ?? "nothing";
  return balance === String(held) ? [] : [`The clearing account holds ${balance}, the provider ${held}.`];
}

/** The rows of every check. */
async function findViolations(owner: pg.ClientBase, tenantId: number): Promise<string[]> {
  const { rows: views } = await owner.query<{ name: string }>(
    `select c.relname as name from pg_class c where c.relnamespace = 'checks'::regnamespace and c.relkind = 'v'
     order by 1`,
  );
  const found: string[] = [];
  for (const { name } of views) {
    const { rows } = await owner.query<{ row: object }>(
      `select to_jsonb(v) as row from checks.${name} v where v.tenant_id = $1 limit 3`,
      [tenantId],
    );
    found.push(...rows.map(({ row }) => `checks.${name}: ${JSON.stringify(row)}`));
  }
  return found;
}
