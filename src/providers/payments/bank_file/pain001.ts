import { XMLBuilder } from "fast-xml-parser";
import { formatUnits, parseDecimal, toUnits } from "../../../books/decimal.ts";
import { isIban } from "../../../iban.ts";
import type { BankFileSettings } from "./settings.ts";
import { toBankText } from "./text.ts";

/** One transfer of a file. */
export interface CreditTransfer {
  /** What comes back on statements as EndToEndId: 35 characters at most. */
  reference: string;
  /** Minor units. */
  amount: string;
  currency: string;
  exponent: number;
  /** A day such as 2026-11-21. */
  executionOn: string;
  name: string;
  /** An IBAN, or the number of another kind of account. */
  account: string;
  bic?: string | undefined;
  country?: string | undefined;
  text?: string | undefined;
}

export interface TransferFile {
  /** Unique for the bank: 35 characters at most. It refuses the same twice. */
  messageId: string;
  createdAt: Date;
  settings: BankFileSettings;
  transfers: readonly CreditTransfer[];
}

const namespace = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09";

/**
 * The XML of a file of credit transfers, pain.001.001.09 of ISO 20022: the same file is the same bytes. Transfers of
 * one day and currency are one block. The order of the elements is that of the schema.
 */
export function renderPain001(file: TransferFile): string {
  const { messageId, createdAt, settings, transfers } = file;
  const blocks = Map.groupBy(transfers, ({ executionOn, currency }) => `${executionOn} ${currency}`);
  const ordered = [...blocks].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, members]) => members);
  const document = {
    "?xml": { "@version": "1.0", "@encoding": "UTF-8" },
    Document: {
      "@xmlns": namespace,
      CstmrCdtTrfInitn: {
        GrpHdr: {
          MsgId: messageId,
          CreDtTm: createdAt.toISOString(),
          ...totalsOf(transfers),
          InitgPty: { Nm: toBankText(settings.debtorName, 70) },
        },
        PmtInf: ordered.map((members, index) => blockOf(`${messageId}.${index + 1}`, settings, members)),
      },
    },
  };
  const builder = new XMLBuilder({ ignoreAttributes: false, attributeNamePrefix: "@", format: true, indentBy: "  " });
  return builder.build(document) as string;
}

function totalsOf(transfers: readonly CreditTransfer[]): { NbOfTxs: string; CtrlSum: string } {
  const exponent = Math.max(0, ...transfers.map((transfer) => transfer.exponent));
  const total = transfers.reduce(
    (sum, transfer) => sum + BigInt(transfer.amount) * 10n ** BigInt(exponent - transfer.exponent),
    0n,
  );
  return { NbOfTxs: String(transfers.length), CtrlSum: formatUnits(total, exponent) };
}

function blockOf(id: string, settings: BankFileSettings, transfers: CreditTransfer[]): object {
  const [first] = transfers;
  const isSepa = first?.currency === "EUR";
  return {
    PmtInfId: id,
    PmtMtd: "TRF",
    BtchBookg: String(settings.batchBooking),
    ...totalsOf(transfers),
    ...(isSepa && { PmtTpInf: { SvcLvl: { Cd: "SEPA" } } }),
    ReqdExctnDt: { Dt: first?.executionOn },
    Dbtr: { Nm: toBankText(settings.debtorName, 70) },
    DbtrAcct: { Id: { IBAN: settings.debtorAccount } },
    DbtrAgt: { FinInstnId: settings.debtorBic ? { BICFI: settings.debtorBic } : { Othr: { Id: "NOTPROVIDED" } } },
    ChrgBr: isSepa ? "SLEV" : "SHAR",
    CdtTrfTxInf: transfers.map(transferOf),
  };
}

function transferOf(transfer: CreditTransfer): object {
  const { reference, amount, currency, exponent, name, account, bic, country, text } = transfer;
  const remittance = text === undefined ? "" : toBankText(text, 140);
  return {
    PmtId: { EndToEndId: reference },
    Amt: { InstdAmt: { "@Ccy": currency, "#text": formatUnits(BigInt(amount), exponent) } },
    ...(bic && { CdtrAgt: { FinInstnId: { BICFI: bic } } }),
    Cdtr: { Nm: toBankText(name, 70), ...(country && { PstlAdr: { Ctry: country } }) },
    CdtrAcct: { Id: isIban(account) ? { IBAN: account } : { Othr: { Id: account } } },
    ...(remittance && { RmtInf: { Ustrd: remittance } }),
  };
}

/** Why a transfer cannot be in a file, as a code; undefined if it can. */
export function faultOf(transfer: Omit<CreditTransfer, "reference" | "executionOn">): string | undefined {
  const { amount, currency, exponent, name, account } = transfer;
  if (!/^[A-Z]{3}$/.test(currency)) return "invalid_currency";
  const decimal = parseDecimal(formatUnits(BigInt(amount), exponent));
  const units = decimal && toUnits(decimal, decimalsOf(currency));
  // 18 digits in general, eleven for SEPA.
  if (units === undefined || units >= (currency === "EUR" ? 10n ** 11n : 10n ** 18n)) return "invalid_amount";
  if (toBankText(name, 70) === "") return "invalid_name";
  if (isIban(account)) return undefined;
  const isOther = currency !== "EUR" && /^[A-Z0-9-]{1,34}$/.test(account) && !/^[A-Z]{2}\d{2}/.test(account);
  return isOther ? undefined : "invalid_account";
}

function decimalsOf(currency: string): number {
  const format = new Intl.NumberFormat("en", { style: "currency", currency });
  return format.resolvedOptions().maximumFractionDigits ?? 2;
}
