import type { JobHelpers } from "graphile-worker";
import type pg from "pg";
import { type ImportedStatement, importStatements, type RunQuery } from "../../src/statements/import.ts";
import { readStatementFile, type StatementFormat } from "../../src/statements/read.ts";
import matchEntries from "../../tasks/reconciliation/match_entries.ts";
import { openAccount, openTenant, type Queryable } from "./ledger.ts";
import { makeProvider } from "./payments.ts";

/** Books with one provider, whose statements are reconciled. */
export interface ReconciledBooks {
  tenantId: number;
  /** A deposit that pays and is paid. */
  account: string;
  clearing: string;
  suspense: string;
  expense: string;
}

export async function makeReconciledBooks(owner: Queryable): Promise<ReconciledBooks> {
  const tenantId = await openTenant(owner);
  const account = await openAccount(owner, tenantId, { type: "liability" });
  const expense = await openAccount(owner, tenantId, { type: "expense" });
  const { clearing, suspense } = await makeProvider(owner, tenantId, { code: "bank" });
  return { tenantId, account, clearing, suspense, expense };
}

export interface ReconciledPayment {
  id: string;
  amount: number;
  kind: "pay_in" | "pay_out";
}

export interface PaymentOptions {
  amount?: number;
  kind?: "pay_in" | "pay_out";
  account?: string;
  provider?: string;
  reference?: string | undefined;
  providerReference?: string | undefined;
  /** Where it stands with the provider. Default: settled. */
  status?: "settled" | "submitted";
  /** For how many days it has been expected on a statement. */
  daysAgo?: number;
}

/** A payment that was handed to the provider, and has settled unless it should not. Needs the owner's login. */
export async function makePayment(
  owner: Queryable,
  books: ReconciledBooks,
  options: PaymentOptions = {},
): Promise<ReconciledPayment> {
  const { amount = 1000, kind = "pay_in", reference, providerReference, status = "settled", daysAgo = 0 } = options;
  const input = {
    kind,
    account_id: options.account ?? books.account,
    amount,
    provider_code: options.provider ?? "bank",
    reference,
  };
  const { rows } = await owner.query<{ id: string }>(
    `select (app_private.insert_payment(app_private.system_actor($1), jsonb_populate_record(
       null::app_public.payment_input, $2))).id`,
    [books.tenantId, JSON.stringify(input)],
  );
  const id = rows[0]?.id ?? "";
  for (const move of status === "settled" ? ["submit", "settle"] : ["submit"])
    await owner.query(`select app_private.${move}_payment(app_private.system_actor($1), $1, $2, $3)`, [
      books.tenantId,
      id,
      providerReference ?? null,
    ]);
  await owner.query(
    `update app_public.clearing_items set expected_at = now() - make_interval(days => $3)
     where tenant_id = $1 and payment_id = $2`,
    [books.tenantId, id, daysAgo],
  );
  return { id, amount, kind };
}

/** A line of a statement in CSV: amounts in cents, below zero for money that went out. */
export interface Line {
  id?: string;
  amount: number;
  currency?: string;
  day?: string;
  reference?: string | undefined;
  endToEndId?: string | undefined;
  providerReference?: string | undefined;
  returnReason?: string | undefined;
}

let entries = 0;

/** What a bank says about a payment: that it was made. */
export function lineOf({ id, amount, kind }: ReconciledPayment, changes: Partial<Line> = {}): Line {
  return { amount: kind === "pay_in" ? amount : -amount, endToEndId: id.replaceAll("-", ""), ...changes };
}

/** A statement in CSV; with an opening balance, each line has its balance. */
export function csvOf(lines: readonly Line[], opening?: number): string {
  const header = [
    "entry_id,booked_on,amount,currency,reference,end_to_end_id,provider_reference,return_reason",
    opening === undefined ? "" : ",balance",
  ].join("");
  let held = opening ?? 0;
  const rows = lines.map((line) => {
    entries += 1;
    held += line.amount;
    const cells = [
      line.id ?? `e${entries}`,
      line.day ?? today(),
      cents(line.amount),
      line.currency ?? "USD",
      line.reference ?? "",
      line.endToEndId ?? "",
      line.providerReference ?? "",
      line.returnReason ?? "",
    ];
    return [...cells, ...(opening === undefined ? [] : [cents(held)])].join(",");
  });
  return [header, ...rows, ""].join("\n");
}

export function today(daysAgo = 0): string {
  return new Date(Date.now() - daysAgo * 86_400_000).toISOString().slice(0, 10);
}

function cents(amount: number): string {
  return (amount / 100).toFixed(2);
}

/** Imports a file as the job does, in one database transaction. */
export async function importFile(
  worker: pg.Pool,
  { tenantId }: Pick<ReconciledBooks, "tenantId">,
  content: string,
  { format = "csv", providerCode = "bank" }: { format?: StatementFormat; providerCode?: string } = {},
): Promise<ImportedStatement[]> {
  const file = await readStatementFile(Buffer.from(content), format);
  const client = await worker.connect();
  const run: RunQuery = async <Row>(text: string, values: unknown[]) =>
    (await client.query(text, values)).rows as Row[];
  try {
    await client.query("begin");
    const imported = await importStatements({ run, tenantId }, file, { providerCode });
    await client.query("commit");
    return imported;
  } catch (error) {
    await client.query("rollback");
    throw error;
  } finally {
    client.release();
  }
}

/** Runs the job that matches, for one tenant. */
export async function matchAll(worker: pg.Pool, { tenantId }: Pick<ReconciledBooks, "tenantId">): Promise<void> {
  const helpers = {
    query: (text: string, values: unknown[]) => worker.query(text, values),
    logger: { error: () => undefined },
  };
  await matchEntries({ tenantId }, helpers as unknown as JobHelpers);
}

export interface Break {
  kind: string;
  amount: string;
  flow: string;
  payment: string | null;
  reference: string | null;
  age: string;
  proposed: boolean;
}

/** The breaks of a tenant, payments that were just made among them. Needs the owner's login. */
export async function breaksOf(
  owner: Queryable,
  { tenantId }: Pick<ReconciledBooks, "tenantId">,
  afterDays = 0,
): Promise<Break[]> {
  const { rows } = await owner.query<Break>(
    `select b.kind, b.amount::text, b.flow, b.payment_id as payment,
       coalesce(e.end_to_end_id, e.reference, e.entry_key) as reference, b.age,
       b.proposed_match_id is not null as proposed
     from app_private.reconciliation_breaks($1, $2) b
     left join app_public.statement_entries e on e.tenant_id = $1 and e.id = b.entry_id
     order by b.kind, b.amount`,
    [tenantId, afterDays],
  );
  return rows;
}

/** The balances that reconciliation is about, in cents. */
export async function balancesOf(
  owner: Queryable,
  { tenantId, clearing, suspense }: ReconciledBooks,
): Promise<{ clearing: number; suspense: number; statement: number }> {
  const { rows } = await owner.query<{ clearing: string; suspense: string; statement: string }>(
    `select
       (select posted_debits::numeric - posted_credits from app_public.account_balances
        where tenant_id = $1 and account_id = $2) as clearing,
       (select posted_credits::numeric - posted_debits from app_public.account_balances
        where tenant_id = $1 and account_id = $3) as suspense,
       (select closing_balance from app_public.reconciled_accounts
        where tenant_id = $1 and clearing_account_id = $2) as statement`,
    [tenantId, clearing, suspense],
  );
  const [row] = rows;
  return { clearing: Number(row?.clearing), suspense: Number(row?.suspense), statement: Number(row?.statement) };
}
