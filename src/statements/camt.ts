import { formatShort, parseDecimal, toUnits } from "../books/decimal.ts";
import { type Statement, type StatementBalance, type StatementEntry, StatementError } from "./statement.ts";
import { allOf, at, readXml, textAt, type XmlNode } from "./xml.ts";

export interface CamtOptions {
  /** The most that is read; the whole file is in memory for a while, as several times its size. Default: 32 MiB. */
  maxBytes?: number;
  /** The most entries of all statements together. Default: 200,000. */
  maxEntries?: number;
}

/** What the two messages call their parts. */
const messages = [
  { form: "camt.053", message: "BkToCstmrStmt", statement: "Stmt", kind: "statement" },
  { form: "camt.054", message: "BkToCstmrDbtCdtNtfctn", statement: "Ntfctn", kind: "notification" },
] as const;

const lists = ["Stmt", "Ntfctn", "Bal", "Ntry", "NtryDtls", "TxDtls", "Ustrd", "Strd"];

/**
 * Reads a bank statement (camt.053) or a notification of movements (camt.054) of ISO 20022, from version
 * 001.02 on. Throws a StatementError for a file that is anything else, is too large or contradicts itself.
 */
export async function parseCamt(
  input: Buffer | AsyncIterable<Uint8Array>,
  { maxBytes = 32 * 1024 * 1024, maxEntries = 200_000 }: CamtOptions = {},
): Promise<Statement[]> {
  const root = readXml(await readBounded(input, maxBytes), { lists, maxDepth: 40 });
  const document = at(root, "Document");
  const message = messages.find((one) => at(document, one.message) !== undefined);
  if (!document || !message) throw new StatementError("The file is no statement in the form camt.053 or camt.054.");
  assertNamespace(document, message.form);
  const statements = allOf(at(document, message.message), message.statement);
  if (statements.length === 0) throw new StatementError("There is no statement in the file.");
  let left = maxEntries;
  return statements.map((node, index) => {
    const statement = readStatement(node, message.kind, `${message.statement}[${index + 1}]`);
    left -= statement.entries.length;
    if (left < 0) throw new StatementError(`The file has more than ${maxEntries} entries.`);
    return statement;
  });
}

async function readBounded(input: Buffer | AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of Buffer.isBuffer(input) ? [input] : input) {
    size += chunk.length;
    if (size > maxBytes) throw new StatementError(`The file has more than ${maxBytes} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

function assertNamespace(document: XmlNode, form: string): void {
  const namespaces = typeof document === "string" ? [] : Object.entries(document).filter(([name]) => name[0] === "@");
  const wanted = new RegExp(`^urn:(?:iso:std:iso:20022:tech:xsd:|swift:xsd:)?\\$?${form}\\.001\\.(\\d\\d)$`);
  if (!namespaces.some(([, value]) => typeof value === "string" && Number(wanted.exec(value)?.[1] ?? 0) >= 2)) {
    throw new StatementError(`The namespace of the file is none of ${form}.001.02 and later.`, { place: "Document" });
  }
}

function readStatement(node: XmlNode, kind: Statement["kind"], place: string): Statement {
  const balances = allOf(node, "Bal");
  const balanceOf = (codes: string[], which: "first" | "last"): StatementBalance | undefined => {
    const found = balances.filter((balance) => codes.includes(textAt(balance, "Tp", "CdOrPrtry", "Cd") ?? ""));
    const balance = which === "first" ? found[0] : found.at(-1);
    return balance === undefined ? undefined : readBalance(balance, `${place}/Bal`);
  };
  return {
    id: required(textAt(node, "Id"), `${place}/Id`),
    account: required(accountOf(at(node, "Acct")), `${place}/Acct/Id`),
    currency: textAt(node, "Acct", "Ccy"),
    kind,
    createdAt: readTime(textAt(node, "CreDtTm")),
    from: dayOf(textAt(node, "FrToDt", "FrDtTm") ?? textAt(node, "FrToDt", "FrDt")),
    to: dayOf(textAt(node, "FrToDt", "ToDtTm") ?? textAt(node, "FrToDt", "ToDt")),
    openingBalance: balanceOf(["OPBD", "PRCD"], "first"),
    closingBalance: balanceOf(["CLBD"], "last"),
    entries: allOf(node, "Ntry").flatMap((entry, index) => readEntry(entry, String(index + 1), place)),
  };
}

function readBalance(node: XmlNode, place: string): StatementBalance {
  const { amount, currency } = readAmount(at(node, "Amt"), `${place}/Amt`);
  const isOwed = readDirection(node, place) === "debit";
  return {
    amount: isOwed && !/^[0.]+$/.test(amount) ? `-${amount}` : amount,
    currency,
    on: required(dayIn(at(node, "Dt")), `${place}/Dt`),
  };
}

/** An entry, or the payments that it stands for. */
function readEntry(node: XmlNode, entryId: string, statementPlace: string): StatementEntry[] {
  const place = `${statementPlace}/Ntry[${entryId}]`;
  const details = allOf(node, "NtryDtls").flatMap((one) => allOf(one, "TxDtls"));
  const entry: StatementEntry = {
    id: entryId,
    entryId,
    bankReference: textAt(node, "AcctSvcrRef") ?? textAt(node, "NtryRef"),
    endToEndId: undefined,
    reference: textAt(node, "AddtlNtryInf"),
    ...readAmount(at(node, "Amt"), `${place}/Amt`),
    direction: readDirection(node, place),
    isReversal: readFlag(textAt(node, "RvslInd"), `${place}/RvslInd`),
    status: readStatus(node, place),
    bookedOn: dayIn(at(node, "BookgDt")),
    valueOn: dayIn(at(node, "ValDt")),
    counterparty: undefined,
    returnReason: undefined,
  };
  const [only, ...others] = details;
  if (!only) return [entry];
  if (others.length === 0) return [{ ...entry, ...readDetails(only, entry) }];
  return readBatch(entry, details, place) ?? [entry];
}

/**
 * The payments of an entry that stands for many. Undefined if the file does not say how much each of them is, in
 * the currency of the entry and so that they add up to it: then the entry is told as one, and no money is made up.
 */
function readBatch(entry: StatementEntry, details: XmlNode[], place: string): StatementEntry[] | undefined {
  const parts = details.map((detail, index): StatementEntry | undefined => {
    const node = at(detail, "Amt") ?? at(detail, "AmtDtls", "TxAmt", "Amt");
    if (node === undefined) return undefined;
    const partPlace = `${place}/TxDtls[${index + 1}]`;
    const money = readAmount(node, partPlace);
    if (money.currency !== entry.currency) return undefined;
    const direction = at(detail, "CdtDbtInd") === undefined ? entry.direction : readDirection(detail, partPlace);
    return { ...entry, id: `${entry.id}.${index + 1}`, ...readDetails(detail, entry), ...money, direction };
  });
  const whole = parts.filter((part) => part !== undefined);
  if (whole.length < parts.length) return undefined;
  const total = whole.reduce((sum, part) => sum + signed(part), 0n);
  return total === signed(entry) ? whole : undefined;
}

function readDetails(detail: XmlNode, entry: StatementEntry): Partial<StatementEntry> {
  const parties = at(detail, "RltdPties");
  const [role, account] = entry.direction === "credit" ? ["Dbtr", "DbtrAcct"] : ["Cdtr", "CdtrAcct"];
  const name = textAt(parties, role, "Nm") ?? textAt(parties, role, "Pty", "Nm");
  const number = accountOf(at(parties, account));
  const endToEndId = textAt(detail, "Refs", "EndToEndId");
  const words = [
    ...allOf(at(detail, "RmtInf"), "Strd").map((one) => textAt(one, "CdtrRefInf", "Ref")),
    ...allOf(at(detail, "RmtInf"), "Ustrd").map((one) => textAt(one)),
  ].filter((text) => text !== undefined);
  return {
    bankReference: textAt(detail, "Refs", "AcctSvcrRef") ?? entry.bankReference,
    endToEndId: endToEndId === "NOTPROVIDED" ? undefined : endToEndId,
    reference: words.length > 0 ? words.join(" ") : entry.reference,
    counterparty: name === undefined && number === undefined ? undefined : { name, account: number },
    returnReason: textAt(detail, "RtrInf", "Rsn", "Cd") ?? textAt(detail, "RtrInf", "Rsn", "Prtry"),
  };
}

/** In 10^-18: no currency has smaller units, and all amounts are compared alike. */
function signed({ amount, direction }: Pick<StatementEntry, "amount" | "direction">): bigint {
  const units = unitsOf(amount);
  return direction === "credit" ? units : -units;
}

function unitsOf(amount: string): bigint {
  const decimal = parseDecimal(amount);
  const units = decimal && toUnits(decimal, 18);
  if (units === undefined) throw new StatementError(`${amount} is not an amount.`);
  return units;
}

/**
 * By how much the booked entries of a statement miss what lies between its balances, as a decimal; undefined
 * where it has not both balances, or not all in one currency. Anything but "0" means that entries are missing.
 */
export function balanceDifference({ openingBalance, closingBalance, entries }: Statement): string | undefined {
  const booked = entries.filter(({ status }) => status === "booked");
  if (!openingBalance || !closingBalance) return undefined;
  const currencies = new Set([openingBalance, closingBalance, ...booked].map(({ currency }) => currency));
  if (currencies.size > 1) return undefined;
  const moved = booked.reduce((sum, entry) => sum + signed(entry), 0n);
  return formatShort(unitsOf(closingBalance.amount) - unitsOf(openingBalance.amount) - moved, 18);
}

function readAmount(node: XmlNode | undefined, place: string): { amount: string; currency: string } {
  const amount = required(textAt(node), place);
  const currency = required(textAt(node, "@Ccy"), `${place}@Ccy`);
  if (!/^\d{1,20}(?:\.\d{1,18})?$/.test(amount)) throw new StatementError(`${amount} is not an amount.`, { place });
  if (!/^[A-Z]{3}$/.test(currency)) throw new StatementError(`${currency} is not a currency.`, { place });
  return { amount: formatShort(unitsOf(amount), 18), currency };
}

function readDirection(node: XmlNode, place: string): StatementEntry["direction"] {
  const text = required(textAt(node, "CdtDbtInd"), `${place}/CdtDbtInd`);
  if (text === "CRDT") return "credit";
  if (text === "DBIT") return "debit";
  throw new StatementError(`${text} is neither CRDT nor DBIT.`, { place: `${place}/CdtDbtInd` });
}

const statuses = { BOOK: "booked", PDNG: "pending", INFO: "information", FUTR: "pending" } as const;

/** The text itself up to version 6, a code in it after that. */
function readStatus(node: XmlNode, place: string): StatementEntry["status"] {
  const text = required(textAt(node, "Sts") ?? textAt(node, "Sts", "Cd"), `${place}/Sts`);
  if (Object.hasOwn(statuses, text)) return statuses[text as keyof typeof statuses];
  throw new StatementError(`The status ${text} is not known.`, { place: `${place}/Sts` });
}

function readFlag(text: string | undefined, place: string): boolean {
  if (text === undefined || text === "false" || text === "0") return false;
  if (text === "true" || text === "1") return true;
  throw new StatementError(`${text} is neither true nor false.`, { place });
}

function accountOf(node: XmlNode | undefined): string | undefined {
  return (textAt(node, "Id", "IBAN") ?? textAt(node, "Id", "Othr", "Id"))?.replaceAll(" ", "");
}

function dayIn(node: XmlNode | undefined): string | undefined {
  return dayOf(textAt(node, "Dt") ?? textAt(node, "DtTm"));
}

/** The day where the bank is: the first part of a date and time. */
function dayOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const day = /^\d{4}-\d\d-\d\d(?=$|T|Z|[+-])/.exec(text)?.[0];
  if (day === undefined || Number.isNaN(Date.parse(day))) throw new StatementError(`${text} is not a date.`);
  return day;
}

function readTime(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  // Without an offset it is taken as UTC: nothing hangs on it but the order of files.
  const time = new Date(/(?:Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text}Z`);
  if (Number.isNaN(time.getTime())) throw new StatementError(`${text} is not a time.`);
  return time;
}

function required(text: string | undefined, place: string): string {
  if (text === undefined) throw new StatementError(`The file has no ${place}.`, { place });
  return text;
}
