import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as fontkit from "fontkit";
import PDFDocument from "pdfkit";
import { toDecimal } from "../notifications/words.ts";

/** A receipt as the database holds it. */
export interface Receipt {
  id: string;
  number: string | null;
  issuedAt: Date;
  facts: ReceiptFacts;
}

/** What a receipt says, frozen when it was issued. */
export interface ReceiptFacts {
  /** How it is drawn: 1 with the fonts of every reader of PDF; 2 with fonts of its own where these lack letters. */
  form?: number;
  tenant: string;
  receiver?: string;
  language: string;
  timeZone: string;
  paymentId: string;
  kind: string;
  amount: string;
  currency: string;
  exponent: number;
  counterparty?: string;
  reference?: string;
  description?: string;
  settledAt: string;
  /** What the receiver was charged; the rate of VAT is in percent. */
  charges?: { kind: string; name?: string; amount: string; rate?: string }[];
}

export interface ReceiptPdf {
  bytes: Buffer;
  sha256: Buffer;
}

/*
 * Everything that the bytes depend on is in the facts and in this file: no fonts or words of the system, no
 * random ids, no compression, whose bytes differ between versions of its library.
 */
const labels = {
  en: {
    title: "Receipt",
    number: "Number",
    date: "Date",
    receiver: "Customer",
    payment: "Payment",
    kind: "Kind",
    counterparty: "Counterparty",
    reference: "Reference",
    description: "For",
    amount: "Amount",
    vat: "VAT",
    months: "January February March April May June July August September October November December".split(" "),
    kinds: { pay_in: "Payment in", pay_out: "Payment out", transfer: "Transfer", refund: "Refund" },
  },
  de: {
    title: "Beleg",
    number: "Nummer",
    date: "Datum",
    receiver: "Kunde",
    payment: "Zahlung",
    kind: "Art",
    counterparty: "Gegenseite",
    reference: "Verwendungszweck",
    description: "Für",
    amount: "Betrag",
    vat: "Umsatzsteuer",
    months: "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(" "),
    kinds: { pay_in: "Einzahlung", pay_out: "Auszahlung", transfer: "Überweisung", refund: "Erstattung" },
  },
} as const;

type Labels = (typeof labels)["en" | "de"];

/** Makes the PDF of a receipt: one page of A4, the same bytes for the same receipt. */
export async function renderReceipt(receipt: Receipt): Promise<ReceiptPdf> {
  const { facts } = receipt;
  const words = labels[facts.language === "de" ? "de" : "en"];
  const fonts = fontsFor(facts);
  const document = new PDFDocument({
    size: "A4",
    margin: 56,
    compress: false,
    lang: words === labels.de ? "de" : "en",
    displayTitle: true,
    info: {
      Title: printable(`${words.title} ${receipt.number ?? receipt.id}`),
      Author: printable(facts.tenant),
      Creator: "Tallystick",
      Producer: "Tallystick",
      CreationDate: new Date(receipt.issuedAt),
      ModDate: new Date(receipt.issuedAt),
    },
  });
  const chunks: Buffer[] = [];
  const ended = new Promise<void>((done, fail) => {
    document.on("data", (chunk: Buffer) => void chunks.push(chunk));
    document.on("end", done);
    document.on("error", fail);
  });
  draw(document, receipt, words, fonts);
  document.end();
  await ended;
  const bytes = Buffer.concat(chunks);
  return { bytes, sha256: createHash("sha256").update(bytes).digest() };
}

interface Fonts {
  regular: string;
  bold: string;
  /** Text as the fonts can show it. */
  printable: (text: string) => string;
}

/** Of every reader of PDF as long as they have the letters; else of our own, whose used letters go into the file. */
function fontsFor({
  form = 1,
  tenant,
  receiver,
  counterparty,
  reference,
  description,
  charges = [],
}: ReceiptFacts): Fonts {
  const texts = [tenant, receiver, counterparty, reference, description, ...charges.map(({ name }) => name)];
  const isLatin1 = texts.every((text = "") => printable(text) === tidy(text));
  if (form === 1 || isLatin1) return { regular: "Helvetica", bold: "Helvetica-Bold", printable };
  const [regular, bold] = [ownFont("DejaVuSans"), ownFont("DejaVuSans-Bold")];
  const font = fontkit.create(readFileSync(regular));
  if (!("characterSet" in font)) throw new Error("The font of receipts is a collection of fonts.");
  const letters = new Set(font.characterSet);
  const covered = (letter: string): string => (letters.has(letter.codePointAt(0) ?? 0) ? letter : "?");
  return { regular, bold, printable: (text) => [...tidy(text)].map(covered).join("") };
}

const ownFont = (name: string): string => createRequire(import.meta.url).resolve(`dejavu-fonts-ttf/ttf/${name}.ttf`);

function draw(document: PDFKit.PDFDocument, receipt: Receipt, words: Labels, fonts: Fonts): void {
  const { facts } = receipt;
  const { printable } = fonts;
  const left = 56;
  const width = 595.28 - 2 * left;
  document.font(fonts.regular).fontSize(11).fillColor("#555555").text(printable(facts.tenant), left, 56, { width });
  document
    .font(fonts.bold)
    .fontSize(24)
    .fillColor("#111111")
    .text(words.title, left, document.y + 18, { width });
  document
    .moveTo(left, document.y + 8)
    .lineTo(left + width, document.y + 8)
    .lineWidth(0.7)
    .stroke("#999999");
  document.y += 24;
  for (const [label, value] of linesOf(receipt, words)) drawLine(document, fonts, { left, width, label, value });
  document
    .moveTo(left, document.y + 4)
    .lineTo(left + width, document.y + 4)
    .stroke("#999999");
  document.y += 18;
  document.fontSize(14);
  const total = formatMoney(facts.amount, facts, words);
  drawLine(document, fonts, { left, width, label: words.amount, value: total, isRight: true, isBold: true });
  for (const { kind, name, amount, rate } of facts.charges ?? []) {
    const label = kind === "vat" ? `${words.vat}${rate === undefined ? "" : ` ${rate} %`}` : (name ?? kind);
    const value = formatMoney(amount, facts, words);
    drawLine(document, fonts, { left, width, label, value, isRight: true });
  }
}

function linesOf({ number, facts }: Receipt, words: Labels): [string, string][] {
  const lines: [string, string | null | undefined][] = [
    [words.number, number],
    [words.date, formatDate(facts.settledAt, facts.timeZone, words)],
    [words.receiver, facts.receiver],
    [words.kind, words.kinds[facts.kind as keyof Labels["kinds"]] ?? facts.kind],
    [words.counterparty, facts.counterparty],
    [words.reference, facts.reference],
    [words.description, facts.description],
    [words.payment, facts.paymentId],
  ];
  return lines.filter((line): line is [string, string] => line[1] !== null && line[1] !== undefined);
}

interface Line {
  left: number;
  width: number;
  label: string;
  value: string;
  isRight?: boolean;
  isBold?: boolean;
}

function drawLine(
  document: PDFKit.PDFDocument,
  fonts: Fonts,
  { left, width, label, value, isRight, isBold }: Line,
): void {
  const column = 140;
  const top = document.y;
  if (!isBold) document.fontSize(11);
  document.font(isBold ? fonts.bold : fonts.regular).fillColor("#555555");
  document.text(fonts.printable(label), left, top, { width: isRight ? width / 2 : column - 10 });
  const labelEnd = document.y;
  document.fillColor("#111111");
  // What is too long for its place is cut, so that a receipt stays one page.
  const place = isRight
    ? { x: left + width / 2, width: width / 2, align: "right" as const }
    : { x: left + column, width: width - column, align: "left" as const };
  const { x, ...options } = place;
  document.text(fonts.printable(value), x, top, { ...options, height: 90, ellipsis: true });
  document.y = Math.max(labelEnd, document.y) + 6;
}

function formatMoney(
  amount: string,
  { currency, exponent }: { currency: string; exponent: number },
  words: Labels,
): string {
  const [point, group] = words === labels.de ? [",", "."] : [".", ","];
  const [whole = "0", fraction] = toDecimal(amount, exponent).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, group);
  return `${grouped}${fraction === undefined ? "" : `${point}${fraction}`} ${currency}`;
}

/** The date and the time in a time zone. The words are ours: those of the system change with its versions. */
function formatDate(iso: string, timeZone: string, words: Labels): string {
  const numeric = { year: "numeric", month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit" } as const;
  const parts = new Intl.DateTimeFormat("en-US", { ...numeric, hourCycle: "h23", timeZone }).formatToParts(
    new Date(iso),
  );
  const part = (type: string): string => parts.find((one) => one.type === type)?.value ?? "";
  const month = words.months[Number(part("month")) - 1];
  const day = words === labels.de ? `${part("day")}. ${month}` : `${part("day")} ${month}`;
  return `${day} ${part("year")}, ${part("hour")}:${part("minute")} (${timeZone})`;
}

// What the fonts that every reader of PDF has can show: Latin-1, and these of Windows besides.
const beyondLatin1 = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ";

/** Text as these fonts can show it: what they cannot is a question mark, and never another letter. */
function printable(text: string): string {
  return [...tidy(text)]
    .map((letter) => (/^[\x20-\x7e\xa0-\xff]$/.test(letter) || beyondLatin1.includes(letter) ? letter : "?"))
    .join("");
}

function tidy(text: string): string {
  return text.normalize("NFC").replace(/\s+/g, " ");
}
