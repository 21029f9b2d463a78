import { createHash } from "node:crypto";
import { beforeAll, describe, expect, test } from "@jest/globals";
import type { JobHelpers } from "graphile-worker";
import { newId } from "../../../src/random.ts";
import { type Receipt, renderReceipt } from "../../../src/receipts/pdf.ts";
import recordPdfs from "../../../tasks/receipts/record_pdfs.ts";
import { addJob, runDueJobs, workerPool } from "../../support/jobs.ts";
import { relayAll } from "../../support/relay.ts";
import { bootApi, type Caller } from "../api/_api.ts";
import { makeWorld, pay, type World } from "../notifications/_world.ts";

/* Receipts: their numbers, their PDF, and who gets them. */
const api = await bootApi({ TALLYSTICK_PUBLIC_URL: "https://ledger.example.com" });
const owner = api.db.pool("owner");
const worker = workerPool(api.db);
const origin = new URL(api.url).origin;

/** The text of a PDF of ours, which is not compressed: its strings, in the order in which they are drawn. */
function textOf(pdf: Buffer): string {
  const content = pdf.toString("latin1");
  return [...content.matchAll(/\[((?:<[0-9a-f]*>|\s|-?[\d.]+)*)\] TJ/g)]
    .map(([, items = ""]) => [...items.matchAll(/<([0-9a-f]*)>/g)].map(([, hex = ""]) => hex).join(""))
    .map((hex) => new TextDecoder("windows-1252").decode(Buffer.from(hex, "hex")))
    .join("\n");
}

const facts = {
  tenant: "Käse & Söhne — GmbH",
  receiver: "Zoë Ørsted",
  language: "en",
  timeZone: "Europe/Berlin",
  paymentId: "01960000-0000-7000-8000-000000000001",
  kind: "pay_out",
  amount: "123456789",
  currency: "EUR",
  exponent: 2,
  counterparty: "Ναί 東京",
  reference: "INV-2026-7",
  settledAt: "2026-10-25T00:30:00.123456+00:00",
};
const receipt: Receipt = {
  id: "01960000-0000-7000-8000-000000000002",
  number: "17",
  issuedAt: new Date("2026-10-25T00:31:00Z"),
  facts,
};

describe("the PDF", () => {
  test("says what happened, in the language and at the time of its receiver", async () => {
    const { bytes } = await renderReceipt(receipt);
    expect(bytes.subarray(0, 5).toString()).toBe("%PDF-");
    const text = textOf(bytes);
    for (const part of [
      "Käse & Söhne — GmbH",
      "Receipt",
      "17",
      "25 October 2026, 02:30 (Europe/Berlin)",
      "Zoë Ørsted",
      "Payment out",
      "INV-2026-7",
      "1,234,567.89 EUR",
      facts.paymentId,
    ])
      expect(text).toContain(part);
    // What the fonts cannot show is a question mark, and no other letter.
    expect(text).toContain("??? ??");
    const german = await renderReceipt({ ...receipt, number: null, facts: { ...facts, language: "de" } });
    expect(textOf(german.bytes)).toContain("25. Oktober 2026, 02:30 (Europe/Berlin)");
    expect(textOf(german.bytes)).toContain("1.234.567,89 EUR");
    expect(textOf(german.bytes)).not.toContain("Nummer");
  });

  test("lists the charges and the VAT on them", async () => {
    const charges = [
      { kind: "fee", name: "Commission", amount: "99" },
      { kind: "vat", name: "Commission", amount: "19", rate: "19.25" },
    ];
    const text = textOf((await renderReceipt({ ...receipt, facts: { ...facts, charges } })).bytes);
    for (const part of ["Commission", "0.99 EUR", "VAT 19.25 %", "0.19 EUR"]) expect(text).toContain(part);
  });

  test("has the same bytes for the same receipt, for ever", async () => {
    const { bytes, sha256 } = await renderReceipt(receipt);
    expect((await renderReceipt(structuredClone(receipt))).bytes.equals(bytes)).toBe(true);
    expect(createHash("sha256").update(bytes).digest().equals(sha256)).toBe(true);
    // Receipts that were issued are compared with such a hash. If this fails after an update of pdfkit, then
    // none of them is served any more: keep the old form beside the new one, by the number in the facts.
    expect(sha256.toString("hex")).toBe("30fe101e6f15c226c164a45148364acbed2b7fea8ab266dfa5f2ed7a566d4872");
    expect((await renderReceipt({ ...receipt, number: "18" })).sha256.equals(sha256)).toBe(false);
  });

  test("has the letters of every name that its own fonts have", async () => {
    const polish = { ...facts, form: 2, receiver: "Łucja Żółć", counterparty: "Ναί Привет 東京" };
    const { bytes, sha256 } = await renderReceipt({ ...receipt, facts: polish });
    const content = bytes.toString("latin1");
    expect(content.match(/\/BaseFont \/[A-Z]{6}\+DejaVuSans(-Bold)?\b/g)?.length).toBeGreaterThan(0);
    // How a reader finds the text again: each letter that is used by its code.
    for (const letter of "Łżźćαίвет") {
      const isUsed = `${polish.receiver}${polish.counterparty}`.includes(letter);
      expect(content.includes(`<${letter.charCodeAt(0).toString(16).padStart(4, "0")}>`)).toBe(isUsed);
    }
    expect(content).not.toContain("<6771>");
    expect(content).toContain("<003f>");
    expect(sha256.toString("hex")).toBe("b0105ac667750be91bfbf53f4553379208c646f1049bfabc557732c03261a6c6");
  });

  test("is drawn as before where the fonts of every reader have its letters, and in its old form", async () => {
    const latin = { ...facts, counterparty: "Ørsted" };
    const one = await renderReceipt({ ...receipt, facts: { ...latin, form: 1 } });
    const two = await renderReceipt({ ...receipt, facts: { ...latin, form: 2 } });
    expect(two.bytes.equals(one.bytes)).toBe(true);
    const old = await renderReceipt({ ...receipt, facts: { ...facts, form: 1 } });
    expect(old.bytes.equals((await renderReceipt(receipt)).bytes)).toBe(true);
  });

  test("stays one page, whatever is written on it", async () => {
    const long = "long words ".repeat(200);
    const wide = {
      ...facts,
      description: long,
      counterparty: long,
      reference: long,
      receiver: long,
      tenant: "x".repeat(200),
    };
    const { bytes } = await renderReceipt({ ...receipt, facts: { ...wide, amount: "9".repeat(38) } });
    expect(bytes.toString("latin1").match(/\/Type \/Page\b/g)).toHaveLength(1);
    expect(textOf(bytes)).toContain("999,999.99");
  });
});

const issue = "select (app_private.issue_receipt($1, $2, null)).number";

describe("numbers", () => {
  let world: World;
  const numberReceipts = () =>
    owner.query(
      `insert into app_public.notification_settings (tenant_id, receipts_numbered) values ($1, true)
       on conflict (tenant_id) do update set receipts_numbered = true`,
      [world.tenantId],
    );
  const violations = async () =>
    (
      await owner.query(
        `select 'gap' from checks.receipt_numbers_with_gaps where tenant_id = $1
         union all select 'fit' from checks.receipts_that_do_not_fit where tenant_id = $1`,
        [world.tenantId],
      )
    ).rows;

  test("have no gaps, with sixteen clients at once, some of whom give up", async () => {
    world = await makeWorld(owner);
    await numberReceipts();
    const payments: string[] = [];
    for (let n = 0; n < 48; n += 1) payments.push(await pay(owner, world, { amount: 10 + n }));
    await Promise.all(
      Array.from({ length: 16 }, (_, client) =>
        api.db.withClient("owner", async (connection) => {
          for (const [index, id] of payments.entries()) {
            const doubts = (client + index) % 3 === 0;
            await connection.query("begin");
            await connection.query(issue, [world.tenantId, id]);
            await connection.query(doubts ? "rollback" : "commit");
          }
        }),
      ),
    );
    const { rows } = await owner.query<{ number: string }>(
      "select number from app_public.receipts where tenant_id = $1 order by number",
      [world.tenantId],
    );
    expect(rows.map(({ number }) => Number(number))).toEqual(Array.from({ length: 48 }, (_, n) => n + 1));
    expect(await violations()).toEqual([]);
  }, 60_000);

  test("begin when the tenant asks for them; a receipt keeps what it has", async () => {
    world = await makeWorld(owner);
    const first = await pay(owner, world);
    const number = async (id: string) => (await owner.query(issue, [world.tenantId, id])).rows[0]?.number;
    expect(await number(first)).toBeNull();
    await numberReceipts();
    expect(await number(first)).toBeNull();
    expect(await number(await pay(owner, world))).toBe("1");
    expect(await number(await pay(owner, world))).toBe("2");
    expect(await violations()).toEqual([]);
    expect(await number(newId())).toBeNull();
    // What was issued is told.
    const { rows } = await owner.query(
      "select data from app_private.outbox where tenant_id = $1 and kind = 'receipt.issued'",
      [world.tenantId],
    );
    expect(rows.map(({ data }) => data.number ?? null)).toEqual([null, "1", "2"]);
  });
});

describe("a receipt", () => {
  let world: World;
  let paymentId: string;
  let ann: Caller;
  let bob: Caller;
  const query = `query ($id: UUID!) { receipts(filter: { paymentId: { equalTo: $id } }) { nodes {
    id number pdfUrl pdfSha256 payment { receipt { id } } } } }`;
  const receiptOf = async (id: string, caller: Caller) => (await api.get(query, { id }, caller)).receipts.nodes[0];

  beforeAll(async () => {
    world = await makeWorld(owner);
    const of = (user: string): Caller => ({ tenant: world.tenantId, role: "customer", user });
    [ann, bob] = [of(world.ann.userId), of(world.bob.userId)];
    paymentId = await pay(owner, world, { reference: "R-1" });
    await relayAll(worker);
    await runDueJobs(worker);
  });

  const download = (id: string, caller?: Caller, link = "") =>
    fetch(`${origin}/api/v1/receipts/${id}.pdf${link}`, {
      headers: caller ? { authorization: `Bearer ${api.token(caller)}` } : {},
    });

  test("is issued when its payment settles, and served to who sees the payment", async () => {
    const { id, pdfUrl, pdfSha256, number, payment } = await receiptOf(paymentId, ann);
    expect(payment.receipt.id).toBe(id);
    expect(number).toBeNull();
    expect(pdfUrl).toMatch(new RegExp(`^https://ledger\\.example\\.com/api/v1/receipts/${id}\\.pdf\\?link=`));
    for (const caller of [ann, bob, { tenant: world.tenantId, role: "auditor" } as Caller]) {
      await api.get("{ currentTenant { name } }", {}, caller);
      const response = await download(id, caller);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe("application/pdf");
      expect(response.headers.get("content-disposition")).toBe(`inline; filename="receipt-${id}.pdf"`);
      expect(response.headers.get("cache-control")).toBe("no-store");
      const bytes = Buffer.from(await response.arrayBuffer());
      expect(createHash("sha256").update(bytes).digest("hex")).toBe(pdfSha256);
      expect(textOf(bytes)).toContain("12.34 USD");
    }
    const again = await api.get(
      "mutation ($id: UUID!) { issueReceipt(input: { paymentId: $id }) { receipt { id } } }",
      { id: paymentId },
      ann,
    );
    expect(again.issueReceipt.receipt.id).toBe(id);
  });

  test("is nobody else's: for others it looks as if there were none", async () => {
    const { id } = await receiptOf(paymentId, ann);
    const stranger: Caller = { tenant: world.tenantId, role: "customer", user: newId() };
    const elsewhere: Caller = { tenant: api.otherBooks.tenant, role: "admin" };
    for (const caller of [stranger, elsewhere]) {
      await api.get("{ currentTenant { name } }", {}, caller);
      const [refused, unknown] = [await download(id, caller), await download(newId(), caller)];
      expect([refused.status, await refused.text()]).toEqual(
        [unknown.status, await unknown.text()].map((part) => part),
      );
      expect(refused.status).toBe(404);
      expect((await api.get("query ($id: UUID!) { receipt(id: $id) { id } }", { id }, caller)).receipt).toBeNull();
      const issued = await api.ask(
        "mutation ($id: UUID!) { issueReceipt(input: { paymentId: $id }) { receipt { id } } }",
        { id: paymentId },
        caller,
      );
      expect(issued.errors[0]?.extensions.code).toBe("LG601");
    }
    const [nobody, forged] = [
      await download(id),
      await fetch(`${origin}/api/v1/receipts/${id}.pdf`, { headers: { authorization: "Bearer x" } }),
    ];
    expect([nobody.status, forged.status]).toEqual([401, 401]);
    expect((await download("../../livez", ann)).status).toBe(404);
    expect((await download(id.toUpperCase(), ann)).status).toBe(404);
  });

  test("opens by a link that is signed, for a while, and for this receipt alone", async () => {
    const { id, pdfUrl } = await receiptOf(paymentId, ann);
    const link = new URL(pdfUrl).search;
    expect((await download(id, undefined, link)).status).toBe(200);
    const second = await pay(owner, world);
    await owner.query(issue, [world.tenantId, second]);
    const other = (await receiptOf(second, ann)).id;
    const [tenant, expires, signature] = link.slice("?link=".length).split(".");
    const now = Math.floor(Date.now() / 1000);
    for (const [name, bad] of [
      [other, link],
      [id, `?link=${Number(tenant) + 1}.${expires}.${signature}`],
      [id, `?link=${tenant}.${Number(expires) + 3600}.${signature}`],
      [id, `?link=${tenant}.${now - 1}.${signature}`],
      [id, `?link=${tenant}.${expires}.${"A".repeat(43)}`],
      [id, "?link="],
    ] as const) {
      const response = await download(name, undefined, bad);
      const { errors } = (await response.json()) as { errors: { extensions: { code: string } }[] };
      expect([bad, response.status, errors[0]?.extensions.code]).toEqual([bad, 403, "LG749"]);
    }
    expect(api.log()).not.toContain(signature);
  });

  test("is not served if it would not be the same any more", async () => {
    const id = (await receiptOf(paymentId, ann)).id;
    await api.db.withClient("superuser", async (client) => {
      await client.query("set session_replication_role = replica");
      await client.query(
        "update app_public.receipts set facts = jsonb_set(facts, '{amount}', '\"9999\"') where id = $1",
        [id],
      );
    });
    const response = await download(id, ann);
    expect(response.status).toBe(500);
    expect(await response.text()).toContain("LG748");
    const { rows } = await owner.query("select problem from checks.receipts_that_do_not_fit where receipt_id = $1", [
      id,
    ]);
    expect(rows).toEqual([{ problem: "another amount" }]);
    await api.db.withClient("superuser", async (client) => {
      await client.query("set session_replication_role = replica");
      await client.query(
        "update app_public.receipts set facts = jsonb_set(facts, '{amount}', '\"1234\"') where id = $1",
        [id],
      );
    });
    expect((await download(id, ann)).status).toBe(200);
  });

  test("is there only once its payment has settled", async () => {
    const { rows } = await owner
      .query<{ id: string }>(
        `insert into app_public.payments
           (tenant_id, kind, debit_account_id, credit_account_id, currency, amount, move_number)
       values ($1, 'transfer', $2, $3, 'USD', 5, 1) returning id`,
        [world.tenantId, world.ann.accountId, world.bob.accountId],
      )
      .catch(() => ({ rows: [] }));
    expect(rows).toEqual([]);
    const unsettled = await api.db.withClient("superuser", async (client) => {
      await client.query("set session_replication_role = replica");
      const made = await client.query<{ id: string }>(
        `insert into app_public.payments (tenant_id, kind, debit_account_id, credit_account_id, currency, amount)
         values ($1, 'transfer', $2, $3, 'USD', 5) returning id`,
        [world.tenantId, world.ann.accountId, world.bob.accountId],
      );
      return made.rows[0]?.id;
    });
    const { errors } = await api.ask(
      "mutation ($id: UUID!) { issueReceipt(input: { paymentId: $id }) { receipt { id } } }",
      { id: unsettled },
      ann,
    );
    expect(errors[0]?.extensions).toMatchObject({ code: "LG747", detail: { paymentId: unsettled } });
  });
});

test("several jobs in a process are one, which takes what came for the others", async () => {
  const world = await makeWorld(owner);
  const issued = async (): Promise<unknown> => owner.query(issue, [world.tenantId, await pay(owner, world)]);
  await issued();
  let asked = 0;
  const helpers = {
    query: async (text: string, values: unknown[]) => {
      const answer = await worker.query(text, values);
      if (!text.includes("receipts_without_pdf")) return answer;
      asked += 1;
      // Another is issued when the first job has looked already, and its job comes.
      if (asked === 1) {
        await issued();
        await recordPdfs({}, helpers);
        expect(asked).toBe(1);
      }
      return answer;
    },
  } as unknown as JobHelpers;
  await recordPdfs({}, helpers);
  const { rows } = await owner.query("select from app_public.receipt_pdfs where tenant_id = $1", [world.tenantId]);
  expect({ asked, recorded: rows.length }).toEqual({ asked: 2, recorded: 2 });
});

test("the hashes are taken down once, however many jobs there are", async () => {
  const world = await makeWorld(owner);
  const id = await pay(owner, world);
  await owner.query(issue, [world.tenantId, id]);
  for (let n = 0; n < 3; n += 1) await addJob(worker, "receipts/record_pdfs");
  await Promise.all([runDueJobs(worker), runDueJobs(workerPool(api.db))]);
  const { rows } = await owner.query("select bytes from app_public.receipt_pdfs where tenant_id = $1", [
    world.tenantId,
  ]);
  expect(rows).toHaveLength(1);
  expect(rows[0].bytes).toBeGreaterThan(1_000);
});
