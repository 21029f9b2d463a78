import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { XMLParser } from "fast-xml-parser";
import type pg from "pg";
import { renderPain001 } from "../../../src/providers/payments/bank_file/pain001.ts";
import { readSettings } from "../../../src/providers/payments/bank_file/settings.ts";
import { toBankText } from "../../../src/providers/payments/bank_file/text.ts";
import { writeBankFiles } from "../../../src/providers/payments/bank_file/write.ts";
import type { PaymentProvider, PaymentRequest } from "../../../src/providers/payments/provider.ts";
import { referenceOf } from "../../../src/providers/payments/reference.ts";
import { makeFindPaymentProvider } from "../../../src/providers/payments/registry.ts";
import { newId } from "../../../src/random.ts";
import { fieldKeys } from "../../support/field_keys.ts";
import { addJob, queuedJobs, runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { findViolations, openTenant } from "../../support/ledger.ts";
import { makeProvider } from "../../support/payments.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* A bank that takes files: what is asked of it, the files themselves, and a process that dies while it writes. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
const folder = mkdtempSync(join(tmpdir(), "tallystick-bank-"));
afterAll(() => rmSync(folder, { recursive: true }));
const config = taskConfig({ TALLYSTICK_BANK_FILE_FOLDER: folder });
const settings = { debtorName: "Tally & Söhne GmbH", debtorAccount: "DE89 3704 0044 0532 0130 00" };
const iban = "FR7630006000011234567890189";

let tenantId: number;
let slug: string;
let bank: PaymentProvider;
const findProvider = makeFindPaymentProvider({
  config,
  keys: fieldKeys("test"),
  query: (text, values) => worker.query(text, values),
});

beforeEach(async () => {
  await worker.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs");
  await owner.query("delete from app_private.bank_file_items");
  await owner.query("delete from app_private.bank_files");
  tenantId = await openTenant(owner);
  await makeProvider(owner, tenantId, { code: "bank", kind: "bank_file", currency: "EUR", settings });
  const { rows } = await owner.query<{ slug: string }>("select slug from app_public.tenants where id = $1", [tenantId]);
  slug = rows[0]?.slug ?? "";
  bank = await findProvider({ tenantId, code: "bank" });
});

const transfer = (changes: Partial<PaymentRequest> = {}): PaymentRequest => ({
  reference: newId(),
  kind: "pay_out",
  amount: "1250",
  currency: "EUR",
  exponent: 2,
  text: "Invoice 7",
  counterparty: { name: "Zoë Ångström", account: iban, bic: "AGRIFRPP", country: "FR" },
  ...changes,
});

const outbox = (): string => join(folder, slug, "bank", "outbox");
const filesIn = (path: string): string[] => {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
};

async function write(checkpoint?: (step: string) => void, problems: string[] = []): Promise<void> {
  const client = await worker.connect();
  try {
    await writeBankFiles({
      query: (text, values) => client.query(text, values),
      keys: fieldKeys("test"),
      folder,
      onProblem: (message) => problems.push(message),
      ...(checkpoint && { checkpoint }),
    });
  } finally {
    client.release();
  }
}

interface FileRow {
  number: number;
  items: number;
  sum: string;
  sha256: string | null;
  written: boolean;
}

async function files(db: pg.Pool = owner): Promise<FileRow[]> {
  const { rows } = await db.query<FileRow>(
    `select number, item_count as items, control_sum::text as sum, encode(sha256, 'hex') as sha256,
       written_at is not null as written
     from app_private.bank_files where tenant_id = $1 order by number`,
    [tenantId],
  );
  return rows;
}

const rejection = (call: Promise<unknown>): Promise<unknown> => call.catch((error: unknown) => error);

describe("a payment", () => {
  test("is taken down once, and its account is stored encrypted", async () => {
    const request = transfer();
    const answers = await Promise.all([bank.submit(request), bank.submit(request)]);
    expect(answers).toEqual(
      Array(2).fill({
        state: "submitted",
        providerReference: referenceOf(request.reference),
        amount: "1250",
        currency: "EUR",
      }),
    );
    expect(await bank.status(request.reference)).toEqual(answers[0]);
    const { rows } = await owner.query("select * from app_private.bank_file_items where tenant_id = $1", [tenantId]);
    expect(rows).toHaveLength(1);
    expect(JSON.stringify(rows).includes(iban) || rows[0].account_ciphertext.includes(iban)).toBe(false);
    expect(await rejection(bank.submit({ ...request, amount: "1" }))).toMatchObject({
      outcome: "unknown",
      errorCode: "reference_conflict",
    });
    expect(await bank.status(newId())).toBeUndefined();
  });

  test("can be taken back until its file is closed", async () => {
    const [early, late] = [transfer(), transfer()];
    await bank.submit(early);
    expect(await bank.cancel(early.reference)).toMatchObject({ state: "cancelled" });
    await bank.submit(late);
    await write();
    expect(await bank.cancel(late.reference)).toMatchObject({ state: "submitted" });
    expect(await files()).toMatchObject([{ items: 1, sum: "12.5" }]);
    expect(await rejection(bank.cancel(newId()))).toMatchObject({ outcome: "rejected", errorCode: "not_found" });
  });

  test("that comes in waits for a statement, and is in no file", async () => {
    const request = transfer({ kind: "pay_in", counterparty: undefined });
    expect(await bank.submit(request)).toMatchObject({ state: "submitted" });
    await write();
    expect(await files()).toEqual([]);
    expect(await bank.status(request.reference)).toMatchObject({ state: "submitted" });
  });

  test.each([
    ["counterparty_missing", { counterparty: undefined }],
    ["invalid_account", { counterparty: { name: "A", account: "FR7630006000011234567890188" } }],
    ["invalid_account", { counterparty: { name: "A", account: "12345678" } }],
    ["invalid_name", { counterparty: { name: "株式会社", account: iban } }],
    ["invalid_amount", { amount: "1", exponent: 3 }],
    ["invalid_amount", { amount: "100000000000" }],
    ["invalid_amount", { exponent: 6, amount: "1000000" }],
    ["invalid_currency", { currency: "POINTS" }],
    ["invalid_reference", { reference: "something else" }],
  ] as [string, Partial<PaymentRequest>][])("is refused with %s: %j", async (errorCode, changes) => {
    expect(await rejection(bank.submit(transfer(changes)))).toMatchObject({ outcome: "rejected", errorCode });
  });

  test("is not taken while the settings of the bank are not good", async () => {
    await owner.query("update app_public.payment_providers set settings = $2 where tenant_id = $1", [
      tenantId,
      { ...settings, debtorAccount: "DE00 3704 0044 0532 0130 00" },
    ]);
    const wrong = await findProvider({ tenantId, code: "bank" });
    expect(await rejection(wrong.submit(transfer()))).toMatchObject({
      outcome: "unavailable",
      errorCode: "not_configured",
    });
  });
});

/** The names of the elements, in their order, with those inside them. */
type Node = { [name: string]: Node[] | string };
const parse = (xml: string): Node[] =>
  new XMLParser({ preserveOrder: true, ignoreAttributes: false, parseTagValue: false }).parse(xml) as Node[];
const nameOf = (node: Node): string => Object.keys(node).find((key) => key !== ":@") ?? "";
const children = (nodes: Node[], ...path: string[]): Node[] =>
  path.reduce((found, name) => {
    const node = found.find((one) => nameOf(one) === name);
    return (node?.[name] ?? []) as Node[];
  }, nodes);
const textOf = (nodes: Node[], ...path: string[]): string | undefined => {
  const [node] = children(nodes, ...path);
  return node?.["#text"] as string | undefined;
};
const all = (nodes: Node[], name: string): Node[][] =>
  nodes.filter((node) => nameOf(node) === name).map((node) => node[name] as Node[]);

/** The elements of pain.001.001.09 that we write, in the order of the schema. */
const order: Record<string, string[]> = {
  CstmrCdtTrfInitn: ["GrpHdr", "PmtInf"],
  GrpHdr: ["MsgId", "CreDtTm", "NbOfTxs", "CtrlSum", "InitgPty"],
  PmtInf: [
    "PmtInfId",
    "PmtMtd",
    "BtchBookg",
    "NbOfTxs",
    "CtrlSum",
    "PmtTpInf",
    "ReqdExctnDt",
    "Dbtr",
    "DbtrAcct",
    "DbtrAgt",
    "ChrgBr",
    "CdtTrfTxInf",
  ],
  CdtTrfTxInf: ["PmtId", "Amt", "CdtrAgt", "Cdtr", "CdtrAcct", "RmtInf"],
  Cdtr: ["Nm", "PstlAdr"],
};

function assertOrder(nodes: Node[]): void {
  for (const node of nodes) {
    const name = nameOf(node);
    const inside = node[name];
    if (!Array.isArray(inside)) continue;
    const expected = order[name];
    if (expected) {
      const places = inside.map((child) => expected.indexOf(nameOf(child)));
      expect([name, places]).toEqual([name, [...places].sort((one, other) => one - other)]);
      expect(places).not.toContain(-1);
    }
    assertOrder(inside);
  }
}

describe("a file", () => {
  test("is pain.001.001.09 with its elements in order, its totals and our references", async () => {
    const requests = [
      transfer(),
      transfer({ amount: "5", text: undefined }),
      transfer({ currency: "USD", counterparty: { name: "Bob", account: "12-345", bic: "CHASUS33" } }),
    ];
    for (const request of requests) await bank.submit(request);
    await write();
    expect(filesIn(outbox())).toEqual(["bank-00000001.xml"]);
    expect(filesIn(join(folder, slug, "bank", "ready"))).toEqual([]);
    const bytes = readFileSync(join(outbox(), "bank-00000001.xml"));
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    expect(await files()).toEqual([{ number: 1, items: 3, sum: "25.05", sha256, written: true }]);
    const xml = bytes.toString();
    const document = parse(xml).find((node) => nameOf(node) === "Document");
    expect(document?.[":@"]).toEqual({ "@_xmlns": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09" });
    assertOrder([document as Node]);
    const message = children([document as Node], "Document", "CstmrCdtTrfInitn");
    expect(textOf(message, "GrpHdr", "NbOfTxs")).toBe("3");
    expect(textOf(message, "GrpHdr", "CtrlSum")).toBe("25.05");
    expect(textOf(message, "GrpHdr", "InitgPty", "Nm")).toBe("Tally + Sohne GmbH");
    const blocks = all(message, "PmtInf");
    expect(
      blocks.map((block) => [textOf(block, "NbOfTxs"), textOf(block, "CtrlSum"), textOf(block, "ChrgBr")]),
    ).toEqual([
      ["2", "12.55", "SLEV"],
      ["1", "12.50", "SHAR"],
    ]);
    const [first] = all(blocks[0] as Node[], "CdtTrfTxInf") as [Node[]];
    expect(textOf(first, "PmtId", "EndToEndId")).toBe(referenceOf(requests[0]?.reference ?? ""));
    expect(textOf(first, "Cdtr", "Nm")).toBe("Zoe Angstrom");
    expect(textOf(first, "CdtrAcct", "Id", "IBAN")).toBe(iban);
    expect(textOf(first, "CdtrAgt", "FinInstnId", "BICFI")).toBe("AGRIFRPP");
    expect(textOf(first, "Amt", "InstdAmt")).toBe("12.50");
    expect(textOf(first, "RmtInf", "Ustrd")).toBe("Invoice 7");
    const [other] = all(blocks[1] as Node[], "CdtTrfTxInf") as [Node[]];
    expect(textOf(other, "CdtrAcct", "Id", "Othr", "Id")).toBe("12-345");
    expect(await findViolations(owner, tenantId)).toEqual([]);
  });

  test("adds up, whatever is in it", () => {
    const read = readSettings(settings);
    if (!("settings" in read)) throw new Error(read.problem);
    const one = fc.record({
      amount: fc.bigInt({ min: 1n, max: 10n ** 17n }).map(String),
      currency: fc.constantFrom("EUR", "USD", "JPY"),
      exponent: fc.integer({ min: 0, max: 5 }),
      executionOn: fc.constantFrom("2026-11-21", "2026-11-23"),
      name: fc.string({ minLength: 1, maxLength: 200, unit: "binary" }),
      text: fc.string({ maxLength: 200, unit: "binary" }),
      account: fc.constant(iban),
      reference: fc.uuid().map(referenceOf),
    });
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 20 }), (transfers) => {
        const xml = renderPain001({ messageId: "M1", createdAt: new Date(0), settings: read.settings, transfers });
        const document = parse(xml).filter((node) => nameOf(node) === "Document");
        assertOrder(document);
        const message = children(document, "Document", "CstmrCdtTrfInitn");
        const micros = (text: string | undefined): bigint => {
          const [whole = "", fraction = ""] = (text ?? "").split(".");
          return BigInt(whole + fraction.padEnd(5, "0"));
        };
        const expected = transfers.reduce((sum, t) => sum + BigInt(t.amount) * 10n ** BigInt(5 - t.exponent), 0n);
        expect(micros(textOf(message, "GrpHdr", "CtrlSum"))).toBe(expected);
        const blocks = all(message, "PmtInf");
        const items = blocks.flatMap((block) => all(block, "CdtTrfTxInf"));
        expect(items).toHaveLength(transfers.length);
        expect(items.reduce((sum, item) => sum + micros(textOf(item, "Amt", "InstdAmt")), 0n)).toBe(expected);
        for (const block of blocks) {
          const inBlock = all(block, "CdtTrfTxInf");
          expect(Number(textOf(block, "NbOfTxs"))).toBe(inBlock.length);
          const total = inBlock.reduce((sum, item) => sum + micros(textOf(item, "Amt", "InstdAmt")), 0n);
          expect(micros(textOf(block, "CtrlSum"))).toBe(total);
        }
        expect(xml.replace(/[A-Za-z0-9/\-?:().,'+ <>="\n_]/g, "")).toBe("");
      }),
      { numRuns: 100 },
    );
  });

  test("holds the letters that banks take", () => {
    expect(toBankText("Straße Łódź Ærø & Co", 70)).toBe("Strasse Lodz AEro + Co");
    expect(toBankText("//a//b/ /", 70)).toBe("a/b");
    expect(toBankText("<Ntry>\u0000\u202e&amp;", 70)).toBe("Ntry +amp");
    expect(toBankText("日本", 70)).toBe("");
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.integer({ min: 1, max: 140 }), (text, length) => {
        const written = toBankText(text, length);
        expect(written).toMatch(/^[A-Za-z0-9/\-?:().,'+ ]*$/);
        expect(written.length).toBeLessThanOrEqual(length);
        expect(written).not.toMatch(/^[/ ]|[/ ]$|\/\//);
      }),
    );
  });

  test("is closed when it is full, and waits for others where the settings say so", async () => {
    await owner.query("update app_public.payment_providers set settings = $2 where tenant_id = $1", [
      tenantId,
      { ...settings, maxItems: 2, batchMinutes: 10 },
    ]);
    bank = await findProvider({ tenantId, code: "bank" });
    for (let n = 0; n < 5; n += 1) await bank.submit(transfer());
    await write();
    expect(await files()).toEqual([]);
    await owner.query("update app_private.bank_file_items set created_at = now() - interval '11 minutes'");
    await write();
    expect(await files()).toMatchObject([{ items: 2 }, { items: 2 }, { items: 1 }]);
    expect(filesIn(outbox())).toHaveLength(3);
  });

  test("of one bank with wrong settings holds up no other", async () => {
    await bank.submit(transfer());
    await makeProvider(owner, tenantId, { code: "aaa", kind: "bank_file", currency: "USD", settings });
    const other = await findProvider({ tenantId, code: "aaa" });
    await other.submit(transfer());
    await owner.query("update app_public.payment_providers set settings = $2 where tenant_id = $1 and code = 'aaa'", [
      tenantId,
      { batchMinutes: "soon" },
    ]);
    const problems: string[] = [];
    await write(undefined, problems);
    expect(problems).toEqual([expect.stringContaining("aaa")]);
    expect(filesIn(outbox())).toHaveLength(1);
  });

  test("is written by the job, and by two workers once", async () => {
    for (let n = 0; n < 10; n += 1) await bank.submit(transfer());
    await Promise.all([addJob(worker, "providers/write_bank_files"), addJob(worker, "providers/write_bank_files")]);
    await Promise.all([runDueJobs(worker, config), runDueJobs(workerPool(db), config)]);
    expect(await queuedJobs(worker)).toEqual([]);
    expect(await files()).toMatchObject([{ items: 10, written: true }]);
    expect(filesIn(outbox())).toEqual(["bank-00000001.xml"]);
  });
});

describe("a process that dies", () => {
  const steps = ["closed", "written", "ready", "recorded", "moved"];

  test.each(steps)("after the step %s is followed by one that writes the same file, once", async (at) => {
    for (let n = 0; n < 3; n += 1) await bank.submit(transfer());
    const dead = await rejection(
      write((step) => {
        if (step === at) throw new Error(`killed after ${step}`);
      }),
    );
    expect(dead).toMatchObject({ message: `killed after ${at}` });
    // What comes after is for the next file.
    await bank.submit(transfer({ amount: "1" }));
    const seen = filesIn(outbox());
    expect(seen).toHaveLength(at === "moved" ? 1 : 0);
    // The bank takes a file as soon as it is there.
    const taken = seen.map((name) => {
      const bytes = readFileSync(join(outbox(), name));
      unlinkSync(join(outbox(), name));
      return bytes;
    });
    const problems: string[] = [];
    await write(undefined, problems);
    await write();
    const rows = await files();
    expect(rows).toMatchObject([
      { number: 1, items: 3, sum: "37.5", written: true },
      { number: 2, items: 1, sum: "0.01", written: true },
    ]);
    const left = filesIn(outbox());
    expect(left).toEqual(at === "moved" ? ["bank-00000002.xml"] : ["bank-00000001.xml", "bank-00000002.xml"]);
    const bytes = [...taken, ...left.map((name) => readFileSync(join(outbox(), name)))];
    expect(bytes.map((file) => createHash("sha256").update(file).digest("hex"))).toEqual(
      rows.map(({ sha256 }) => sha256),
    );
    expect(problems).toHaveLength(at === "moved" ? 1 : 0);
  });

  test("leaves no file that somebody else could have changed", async () => {
    await bank.submit(transfer());
    await rejection(
      write((step) => {
        if (step === "recorded") throw new Error("killed");
      }),
    );
    const path = join(folder, slug, "bank", "ready", "bank-00000001.xml");
    writeFileSync(path, readFileSync(path, "utf8").replace(iban, "DE89370400440532013000"));
    expect(await rejection(write())).toMatchObject({ message: expect.stringContaining("somebody changed it") });
    expect(filesIn(outbox())).toEqual([]);
  });

  test("holds the others off while it lives, and no longer", async () => {
    await bank.submit(transfer());
    const client = await worker.connect();
    await client.query("select pg_advisory_lock(hashtextextended('providers/write_bank_files', 0))");
    await write();
    expect(await files()).toEqual([]);
    client.release(true);
    for (let n = 0; n < 50 && (await files()).length === 0; n += 1) await write();
    expect(await files()).toMatchObject([{ written: true }]);
  });

  test("finds folders that are there already", async () => {
    mkdirSync(outbox(), { recursive: true });
    await bank.submit(transfer());
    await write();
    expect(filesIn(outbox())).toHaveLength(1);
  });
});
