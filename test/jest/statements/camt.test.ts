import { describe, expect, test } from "@jest/globals";
import { balanceDifference, parseCamt } from "../../../src/statements/camt.ts";
import { type Statement, StatementError } from "../../../src/statements/statement.ts";
import { type CamtFile, camtXml } from "../../support/camt.ts";

/* Statements in camt.053 and camt.054, old and new versions, well-formed and not. */
const read = (text: string, options?: Parameters<typeof parseCamt>[1]): Promise<Statement[]> =>
  parseCamt(Buffer.from(text), options);
const readOne = async (file: CamtFile): Promise<Statement> => {
  const [statement] = await read(camtXml(file));
  if (!statement) throw new Error("There is no statement.");
  return statement;
};
const reference = "0199aaaabbbbcccc8dddeeeeffff0000";

describe.each(["02", "08"])("version 001.%s", (version) => {
  test("tells the account, the balances and each movement", async () => {
    const statement = await readOne({
      version,
      opening: "100.00",
      closing: "-12.40",
      entries: [
        { amount: "12.60", endToEndId: reference, name: "M&#252;ller &amp; Co", iban: "FR7630006000011234567890189" },
        { amount: "125.00", direction: "DBIT", text: "Rent", bankReference: "B-7", returnReason: "AC04" },
      ],
    });
    expect(statement).toMatchObject({
      id: "STMT-1",
      account: "DE89370400440532013000",
      currency: "EUR",
      kind: "statement",
      createdAt: new Date("2026-11-21T05:00:00Z"),
      from: "2026-11-20",
      to: "2026-11-20",
      openingBalance: { amount: "100", currency: "EUR", on: "2026-11-20" },
      closingBalance: { amount: "-12.4", currency: "EUR", on: "2026-11-20" },
    });
    expect(statement.entries).toEqual([
      expect.objectContaining({
        id: "1",
        entryId: "1",
        endToEndId: reference,
        amount: "12.6",
        currency: "EUR",
        direction: "credit",
        status: "booked",
        isReversal: false,
        bookedOn: "2026-11-20",
        valueOn: "2026-11-20",
        counterparty: { name: "Müller & Co", account: "FR7630006000011234567890189" },
        returnReason: undefined,
      }),
      expect.objectContaining({ direction: "debit", reference: "Rent", bankReference: "B-7", returnReason: "AC04" }),
    ]);
    expect(balanceDifference(statement)).toBe("0");
  });

  test("an entry that stands for many payments is told once for each", async () => {
    const parts = [
      { amount: "1.10", endToEndId: "A" },
      { amount: "2.20", endToEndId: "B", returnReason: "MD07" },
    ];
    const { entries } = await readOne({ version, entries: [{ amount: "3.30", parts }] });
    expect(entries.map(({ id, entryId, endToEndId, amount }) => [id, entryId, endToEndId, amount])).toEqual([
      ["1.1", "1", "A", "1.1"],
      ["1.2", "1", "B", "2.2"],
    ]);
    expect(entries.map(({ returnReason }) => returnReason)).toEqual([undefined, "MD07"]);
  });

  test("payments that do not add up to their entry are not made up", async () => {
    for (const amount of ["1.00", undefined]) {
      const parts = [{ amount: "1.10", endToEndId: "A" }, amount ? { amount, endToEndId: "B" } : { endToEndId: "B" }];
      const { entries } = await readOne({ version, entries: [{ amount: "3.30", parts }] });
      expect(entries).toMatchObject([{ id: "1", amount: "3.3", endToEndId: undefined }]);
    }
  });
});

test("a notification has no balances, and may tell what is only announced", async () => {
  const statement = await readOne({ form: "camt.054", entries: [{ amount: "5", status: "PDNG" }] });
  expect(statement).toMatchObject({ kind: "notification", openingBalance: undefined, closingBalance: undefined });
  expect(statement.entries).toMatchObject([{ status: "pending", amount: "5" }]);
  expect(balanceDifference(statement)).toBeUndefined();
});

test("entries that are missing are seen by the balances", async () => {
  const entries = [{ amount: "4.99" }, { amount: "100", status: "PDNG" }];
  expect(balanceDifference(await readOne({ opening: "0", closing: "5.00", entries }))).toBe("0.01");
});

test("a prefix, a stream, another encoding and a mark in front are the same file", async () => {
  const file: CamtFile = { entries: [{ amount: "1", name: "Jürgen" }] };
  const text = camtXml(file);
  const expected = await read(text);
  const prefixed = text
    .replace("xmlns=", "xmlns:n=")
    .replace("&", "&amp;")
    .replaceAll(/<(\/?)(?=[A-Z])/g, "<$1n:");
  expect(await read(prefixed)).toEqual(expected);
  expect(await parseCamt(Buffer.from(text.replace("UTF-8", "ISO-8859-1"), "latin1"))).toEqual(expected);
  expect(await parseCamt(Buffer.from(`\uFEFF${text}`))).toEqual(expected);
  expect(await parseCamt(Buffer.from(`\uFEFF${text}`, "utf16le"))).toEqual(expected);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < text.length; at += 7) yield Buffer.from(text.slice(at, at + 7));
  }
  expect(await parseCamt(chunks())).toEqual(expected);
});

test("NOTPROVIDED is no reference", async () => {
  const { entries } = await readOne({ entries: [{ amount: "1", endToEndId: "NOTPROVIDED" }] });
  expect(entries).toMatchObject([{ endToEndId: undefined }]);
});

describe("a file that is not to be used", () => {
  const good = camtXml({ opening: "1", closing: "2", entries: [{ amount: "1", endToEndId: "A" }] });
  const refuse = async (text: string | Buffer, options?: Parameters<typeof parseCamt>[1]): Promise<string> => {
    const error = await parseCamt(Buffer.from(text as string), options).then(
      () => undefined,
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(StatementError);
    return (error as StatementError).message;
  };

  test.each([
    ["nothing", ""],
    ["no XML", "account;amount\n1;2"],
    ["cut off", good.slice(0, -30)],
    ["two roots", `${good}<Document/>`],
    ["something else in XML", "<Document><Other/></Document>"],
    ["another namespace", good.replace("camt.053", "camt.052")],
    ["no namespace", good.replace(/ xmlns="[^"]*"/, "")],
    ["no statement", good.replace(/<Stmt>[\s\S]*<\/Stmt>/, "")],
    ["no amount", good.replace(/<Ntry><Amt[^<]*<\/Amt>|<Ntry><Amt.*?<\/Amt>/, "<Ntry>")],
    ["an amount below zero", good.replace('<Ntry><Amt Ccy="EUR">1<', '<Ntry><Amt Ccy="EUR">-1<')],
    ["an amount in words", good.replace('<Ntry><Amt Ccy="EUR">1<', '<Ntry><Amt Ccy="EUR">1e3<')],
    ["no currency", good.replace('<Ntry><Amt Ccy="EUR">', "<Ntry><Amt>")],
    ["another direction", good.replace("CRDT</CdtDbtInd>\n        <Sts>", "BOTH</CdtDbtInd>\n        <Sts>")],
    ["another status", good.replace("<Cd>BOOK</Cd>", "<Cd>MAYBE</Cd>")],
    ["a day that is none", good.replace("<ValDt><Dt>2026-11-20", "<ValDt><Dt>2026-13-20")],
    ["no account", good.replace(/<Acct>.*<\/Acct>/, "")],
    ["names that are traps", good.replace("<Stmt>", "<Stmt><__proto__>x</__proto__>")],
  ])("%s", async (_what, text) => {
    expect(text).not.toBe(good);
    await refuse(text);
  });

  test("a document type, whatever it would do", async () => {
    const bomb = `<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>`;
    const file = `<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>`;
    for (const type of [bomb, file, "<!doctype html>"]) {
      expect(await refuse(good.replace("?>", `?>${type}`))).toContain("document type");
    }
    // Also where the bytes hide it from a look at them.
    const hidden = Buffer.from(`\uFEFF${good.replace("?>", `?>${bomb}`)}`, "utf16le");
    expect(await parseCamt(hidden).catch((error: Error) => error.message)).toContain("document type");
  });

  test("bytes that are not in the encoding, and one that is unknown", async () => {
    const bytes = Buffer.concat([Buffer.from(good.slice(0, 60)), Buffer.from([0xff]), Buffer.from(good.slice(60))]);
    await expect(parseCamt(bytes)).rejects.toBeInstanceOf(StatementError);
    expect(await refuse(good.replace("UTF-8", "EBCDIC-INT"))).toContain("ebcdic-int");
  });

  test("too large, too many entries, too deep", async () => {
    expect(await refuse(good, { maxBytes: 100 })).toContain("100 bytes");
    const two = camtXml({ entries: [{ amount: "1" }, { amount: "2" }] });
    expect(await refuse(two, { maxEntries: 1 })).toContain("1 entries");
    await refuse(good.replace("<GrpHdr>", `<GrpHdr>${"<a>".repeat(100)}${"</a>".repeat(100)}`));
  });
});

test("ten thousand entries with their entities are read", async () => {
  const entries = Array.from({ length: 10_000 }, (_, n) => ({ amount: "0.01", text: `a &amp; b &lt; ${n}` }));
  const statement = await readOne({ opening: "0", closing: "100", entries });
  expect(statement.entries).toHaveLength(10_000);
  expect(statement.entries.at(-1)?.reference).toBe("a & b < 9999");
  expect(balanceDifference(statement)).toBe("0");
});
