/** Statements as banks write them, for tests. */

export interface CamtEntry {
  amount: string;
  currency?: string;
  direction?: "CRDT" | "DBIT";
  status?: string;
  bankReference?: string;
  endToEndId?: string;
  text?: string;
  name?: string;
  iban?: string;
  returnReason?: string;
  on?: string;
  /** Payments that the entry stands for. */
  parts?: { amount?: string; endToEndId: string; returnReason?: string }[];
}

export interface CamtFile {
  form?: "camt.053" | "camt.054";
  version?: string;
  id?: string;
  account?: string;
  currency?: string;
  opening?: string;
  closing?: string;
  on?: string;
  entries: CamtEntry[];
}

const element = (name: string, content: string | undefined): string =>
  content === undefined || content === "" ? "" : `<${name}>${content}</${name}>`;

/** The XML of a file with one statement. */
export function camtXml(file: CamtFile): string {
  const { form = "camt.053", version = "08", id = "STMT-1", currency = "EUR", on = "2026-11-20" } = file;
  const [message, statement] = form === "camt.053" ? ["BkToCstmrStmt", "Stmt"] : ["BkToCstmrDbtCdtNtfctn", "Ntfctn"];
  const balance = (code: string, amount: string | undefined): string =>
    amount === undefined
      ? ""
      : `<Bal><Tp><CdOrPrtry><Cd>${code}</Cd></CdOrPrtry></Tp><Amt Ccy="${currency}">${amount.replace("-", "")}</Amt>
         <CdtDbtInd>${amount.startsWith("-") ? "DBIT" : "CRDT"}</CdtDbtInd><Dt><Dt>${on}</Dt></Dt></Bal>`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:${form}.001.${version}">
  <${message}>
    <GrpHdr><MsgId>MSG-1</MsgId><CreDtTm>2026-11-21T06:00:00+01:00</CreDtTm></GrpHdr>
    <${statement}>
      <Id>${id}</Id><CreDtTm>2026-11-21T06:00:00+01:00</CreDtTm>
      <FrToDt><FrDtTm>${on}T00:00:00</FrDtTm><ToDtTm>${on}T23:59:59</ToDtTm></FrToDt>
      <Acct><Id><IBAN>${file.account ?? "DE89370400440532013000"}</IBAN></Id><Ccy>${currency}</Ccy></Acct>
      ${balance("OPBD", file.opening)}${balance("CLBD", file.closing)}
      ${file.entries.map((entry) => entryXml(entry, { version, currency, on })).join("\n      ")}
    </${statement}>
  </${message}>
</Document>`;
}

function entryXml(entry: CamtEntry, file: { version: string; currency: string; on: string }): string {
  const { currency = file.currency, direction = "CRDT", status = "BOOK", on = file.on } = entry;
  const side = direction === "CRDT" ? "Dbtr" : "Cdtr";
  const isNew = Number(file.version) > 6;
  const name = entry.name && element("Nm", entry.name);
  const details = (part: { amount?: string; endToEndId?: string | undefined; returnReason?: string | undefined }) => {
    const amount = part.amount && `<Amt Ccy="${currency}">${part.amount}</Amt>`;
    const party = element(side, isNew ? name && element("Pty", name) : name);
    const account = element(`${side}Acct`, entry.iban && `<Id><IBAN>${entry.iban}</IBAN></Id>`);
    return element(
      "TxDtls",
      element("Refs", element("EndToEndId", part.endToEndId)) +
        (isNew ? (amount ?? "") : element("AmtDtls", amount && element("TxAmt", amount))) +
        element("RltdPties", party + account) +
        element("RmtInf", element("Ustrd", entry.text)) +
        element("RtrInf", part.returnReason && `<Rsn><Cd>${part.returnReason}</Cd></Rsn>`),
    );
  };
  const { endToEndId, returnReason } = entry;
  const parts = entry.parts?.map(details).join("") ?? details({ endToEndId, returnReason });
  return `<Ntry><Amt Ccy="${currency}">${entry.amount}</Amt><CdtDbtInd>${direction}</CdtDbtInd>
        <Sts>${isNew ? element("Cd", status) : status}</Sts>
        <BookgDt><Dt>${on}</Dt></BookgDt><ValDt><Dt>${on}</Dt></ValDt>
        ${element("AcctSvcrRef", entry.bankReference)}${element("NtryDtls", parts)}</Ntry>`;
}
