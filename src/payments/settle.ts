import type { KeyProvider } from "../crypto/keys.ts";
import {
  type PaymentAnswer,
  type PaymentProvider,
  PaymentProviderError,
  type PaymentRequest,
} from "../providers/payments/provider.ts";
import { openAccountNumber } from "./counterparties.ts";

/** Finds who moves the money of a payment. */
export type FindPaymentProvider = (place: { tenantId: number; code: string }) => Promise<PaymentProvider>;

export interface SettlementServices {
  keys: KeyProvider;
  findProvider: FindPaymentProvider;
  query: (text: string, values: unknown[]) => Promise<{ rows: unknown[] }>;
}

export interface PaymentId {
  tenantId: number;
  paymentId: string;
}

/** What app_private.take_settlement answers with: what to ask of whom. All null: nothing at this moment. */
interface Step {
  call: "ask" | "cancel" | "submit";
  attempt_number: number;
  fence: number;
  provider_code: string;
  provider_reference: string | null;
  kind: PaymentRequest["kind"];
  amount: string;
  currency: string;
  exponent: number;
  reference: string | null;
  counterparty_id: string | null;
  counterparty_name: string | null;
  counterparty_bic: string | null;
  counterparty_country: string | null;
  account_ciphertext: Buffer | null;
  refund_of_id: string | null;
  refund_of_provider_reference: string | null;
}

/**
 * One step of a payment: at most one call of its provider. What to ask is decided in SQL and committed before
 * the call; what it brought is recorded after it. No database transaction is open in between, so a process
 * that dies at any line leaves a recovery point from which the next one goes on.
 */
export async function settleStep(services: SettlementServices, id: PaymentId, jobId: string): Promise<void> {
  const { rows } = await services.query(
    "select * from app_private.take_settlement(tenant_id => $1, payment_id => $2, job_id => $3)",
    [id.tenantId, id.paymentId, jobId],
  );
  const step = rows[0] as Step | { call: null } | undefined;
  if (step?.call == null) return;
  const provider = await services.findProvider({ tenantId: id.tenantId, code: step.provider_code });
  const request = step.call === "submit" ? await makeRequest(services.keys, id, step) : undefined;
  let answer: PaymentAnswer | undefined;
  try {
    answer = await call(provider, id, step, request);
  } catch (error) {
    if (!(error instanceof PaymentProviderError)) throw error;
    return recordError(services, id, step, error);
  }
  return recordAnswer(services, id, step, answer);
}

function call(
  provider: PaymentProvider,
  { paymentId }: PaymentId,
  { call, provider_reference }: Step,
  request: PaymentRequest | undefined,
): Promise<PaymentAnswer | undefined> {
  if (request !== undefined) return provider.submit(request);
  const providerReference = provider_reference ?? undefined;
  return call === "cancel"
    ? provider.cancel(paymentId, providerReference)
    : provider.status(paymentId, providerReference);
}

async function makeRequest(keys: KeyProvider, id: PaymentId, step: Step): Promise<PaymentRequest> {
  const counterparty = await openCounterparty(keys, id, step);
  const refundOf = step.refund_of_id && {
    reference: step.refund_of_id,
    providerReference: step.refund_of_provider_reference ?? "",
  };
  return {
    reference: id.paymentId,
    kind: step.kind,
    amount: step.amount,
    currency: step.currency,
    exponent: step.exponent,
    ...(step.reference !== null && { text: step.reference }),
    ...(counterparty && { counterparty }),
    ...(refundOf && { refundOf }),
  };
}

/** Whom the money goes to or comes from, with the number of their account in clear. */
async function openCounterparty(
  keys: KeyProvider,
  { tenantId }: PaymentId,
  step: Step,
): Promise<PaymentRequest["counterparty"]> {
  const { counterparty_id: row, counterparty_name: name, account_ciphertext: ciphertext } = step;
  if (row === null || name === null || ciphertext === null) return undefined;
  return {
    name,
    account: await openAccountNumber(keys, { tenantId, id: row }, ciphertext),
    bic: step.counterparty_bic ?? undefined,
    country: step.counterparty_country ?? undefined,
  };
}

async function recordAnswer(
  { query }: SettlementServices,
  { tenantId, paymentId }: PaymentId,
  { attempt_number, fence }: Step,
  answer: PaymentAnswer | undefined,
): Promise<void> {
  await query(
    `select app_private.record_settlement_answer(
       tenant_id => $1, payment_id => $2, attempt_number => $3, fence => $4, state => $5,
       provider_reference => $6, amount => $7, currency => $8, error_code => $9, message => $10)`,
    [
      tenantId,
      paymentId,
      attempt_number,
      fence,
      answer?.state,
      answer?.providerReference,
      answer?.amount,
      answer?.currency,
      answer?.errorCode,
      answer?.message,
    ],
  );
}

async function recordError(
  { query }: SettlementServices,
  { tenantId, paymentId }: PaymentId,
  { attempt_number, fence }: Step,
  { outcome, errorCode, message }: PaymentProviderError,
): Promise<void> {
  await query(
    `select app_private.record_settlement_error(
       tenant_id => $1, payment_id => $2, attempt_number => $3, fence => $4, outcome => $5,
       error_code => $6, message => $7)`,
    [tenantId, paymentId, attempt_number, fence, outcome, errorCode, message],
  );
}
