import { afterAll, describe, expect, test } from "@jest/globals";
import { sign } from "../../../src/providers/kyc/signature.ts";
import { startSimulatedProvider } from "../../../src/providers/kyc/simulated.ts";
import { addJob, queuedJobs, runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { staff } from "../../support/session.ts";
import { bootApi, type Caller } from "./_api.ts";

/* Sensitive details and verification of customers, over the API, with a provider behind real HTTP. */
const kycSecret = "the secret that is shared with the provider of verifications";
const provider = await startSimulatedProvider({ port: 0, secret: kycSecret, checkMs: 0 });
afterAll(() => provider.stop());
const kycSettings = { TALLYSTICK_KYC_PROVIDER_URL: provider.url, TALLYSTICK_KYC_PROVIDER_SECRET: kycSecret };
const api = await bootApi(kycSettings);
const owner = api.db.pool("owner");
const worker = workerPool(api.db);

const customer: Caller = { role: "customer", user: api.books.customer };
const stranger: Caller = { role: "customer", user: crypto.randomUUID() };
const admin: Caller = { role: "admin" };
const teller: Caller = { role: "teller", user: crypto.randomUUID() };
const otherAdmin: Caller = { role: "admin", tenant: api.otherBooks.tenant };

const details = {
  email: "Ann.Smith@Example.com",
  phone: "+49 30 1234567",
  bankAccount: "DE89 3704 0044 0532 0130 00",
  identityDocument: "PASSPORT C01X00T47",
};

const masked = `{ email phone bankAccount identityDocument }`;
const setDetails = `mutation Set($input: SetCustomerDetailsInput!) {
  setCustomerDetails(input: $input) { customerDetails ${masked} }
}`;
const readDetails = `query Details($userId: UUID) { customerDetails(userId: $userId) { userId ${masked.slice(1)} }`;
const reveal = `mutation Reveal($input: RevealCustomerDetailInput!) { revealCustomerDetail(input: $input) { value } }`;

async function codes(query: string, variables: object, caller: Caller): Promise<unknown[]> {
  const { errors } = await api.ask(query, variables as Record<string, unknown>, caller);
  return errors.map(({ extensions }) => extensions["code"]);
}

describe("sensitive details", () => {
  const shown = {
    email: "a•••@example.com",
    phone: "••••4567",
    bankAccount: "••••3000",
    identityDocument: "••••0T47",
  };

  test("are set by the customer, and shown masked", async () => {
    const data = await api.get(setDetails, { input: details }, customer);
    expect(data).toEqual({ setCustomerDetails: { customerDetails: shown } });
    const read = { customerDetails: { userId: api.books.customer, ...shown } };
    expect(await api.get(readDetails, {}, customer)).toEqual(read);
    for (const caller of [admin, teller]) {
      expect(await api.get(readDetails, { userId: api.books.customer }, caller)).toEqual(read);
    }
  });

  test("are those of nobody to others", async () => {
    for (const caller of [stranger, otherAdmin]) {
      expect(await api.get(readDetails, { userId: api.books.customer }, caller)).toEqual({ customerDetails: null });
      expect(
        await codes(setDetails, { input: { userId: api.books.customer, email: "eve@example.com" } }, caller),
      ).toEqual(["LG380"]);
    }
    expect(await codes(setDetails, { input: details }, { role: "anonymous" })).toEqual(["LG401"]);
  });

  test.each([
    ["email", "not an address"],
    ["email", "two@@example.com "],
    ["phone", "030 1234567"],
    ["bankAccount", "DE89 3704 0044 0532 0130 01"],
    ["bankAccount", "!!!!"],
    ["identityDocument", "x\u0000y"],
  ])("must have their form: %s", async (field, text) => {
    const { errors } = await api.ask(setDetails, { input: { [field]: text } }, customer);
    expect(errors[0]).toMatchObject({
      message: "A detail of the customer does not have the form of its kind.",
      extensions: { code: "LG389", name: "invalid_customer_detail", detail: { field } },
    });
    expect(JSON.stringify(errors)).not.toContain(text.slice(0, 8));
  });

  test("are read in full by the customer, and by staff with the permission alone", async () => {
    const input = { userId: api.books.customer, detail: "BANK_ACCOUNT", purpose: "a payment came back" };
    expect(await api.get(reveal, { input: { ...input, userId: undefined } }, customer)).toEqual({
      revealCustomerDetail: { value: "DE89370400440532013000" },
    });
    expect(await codes(reveal, { input }, teller)).toEqual(["LG402"]);
    expect(await codes(reveal, { input }, admin)).toEqual(["LG402"]);
    await owner.query("insert into app_public.role_permissions values ($1, 'admin', 'sensitive.read')", [
      api.books.tenant,
    ]);
    expect(await api.get(reveal, { input }, admin)).toEqual({
      revealCustomerDetail: { value: "DE89370400440532013000" },
    });
    const email = { ...input, detail: "EMAIL" };
    expect(await api.get(reveal, { input: email }, admin)).toEqual({
      revealCustomerDetail: { value: "ann.smith@example.com" },
    });
    const { rows } = await owner.query(
      `select user_id, action from app_private.audit_entries
       where operation = 'read' and action like '%a payment%' order by id`,
    );
    expect(rows).toEqual([
      { user_id: api.books.customer, action: "bank_account: a payment came back" },
      { user_id: staff, action: "bank_account: a payment came back" },
      { user_id: staff, action: "email: a payment came back" },
    ]);
  });

  test("are taken away by null or an empty text; what is left out stays", async () => {
    const data = await api.get(setDetails, { input: { phone: "", identityDocument: null } }, customer);
    expect(data).toEqual({
      setCustomerDetails: { customerDetails: { ...shown, phone: null, identityDocument: null } },
    });
    const input = { detail: "PHONE", purpose: "to see" };
    expect(await api.get(reveal, { input }, customer)).toEqual({ revealCustomerDetail: { value: null } });
  });

  test("that were copied to another customer do not decrypt there, and say nothing", async () => {
    const thief = crypto.randomUUID();
    await api.get(setDetails, { input: { email: "thief@example.com" } }, { role: "customer", user: thief });
    await owner.query(
      `update app_hidden.customer_details t set bank_account_ciphertext = s.bank_account_ciphertext
       from app_hidden.customer_details s where s.user_id = $1 and t.user_id = $2`,
      [api.books.customer, thief],
    );
    const { errors, text } = await api.ask(readDetails, {}, { role: "customer", user: thief });
    expect(errors[0]?.extensions["code"]).toBe("INTERNAL_SERVER_ERROR");
    expect(text).not.toMatch(/3000|decrypt|ciphertext/);
  });
});

describe("verification", () => {
  const openCase = `mutation Open($level: Int!, $userId: UUID) {
    openKycCase(input: { requestedLevel: $level, userId: $userId }) { kycCase { id status } }
  }`;
  const submit = `mutation Submit($id: UUID!, $reference: String!) {
    submitKycEvidence(input: { caseId: $id, kind: IDENTITY_DOCUMENT, reference: $reference }) {
      evidence { id kind case { id } }
    }
  }`;
  const review = `mutation Review($id: UUID!) { startKycReview(input: { id: $id }) { kycCase { status } } }`;
  const decide = `mutation Decide($id: UUID!, $decision: KycCaseStatus!) {
    decideKycCase(input: { id: $id, decision: $decision, reason: "Seen in person.", message: "Welcome." }) {
      kycCase { status message decisions { nodes { status level reason } } }
    }
  }`;
  const readCase = `query Case($id: UUID!) { kycCase(id: $id) { status message checks { nodes { status finding } } } }`;
  const own = `query Own($id: UUID!) { kycCase(id: $id) { status message } }`;

  async function runChecks(): Promise<void> {
    await owner.query("update app_public.kyc_checks set due_at = now() where due_at is not null");
    await addJob(worker, "identity/run_kyc_checks");
    await runDueJobs(worker, taskConfig(kycSettings));
    expect(await queuedJobs(worker)).toEqual([]);
  }

  /** A case of a new customer with one piece of evidence, in review. */
  async function reviewed(reference: string): Promise<{ id: string; caller: Caller }> {
    const caller: Caller = { role: "customer", user: crypto.randomUUID() };
    const opened = await api.get(openCase, { level: 2 }, caller);
    const { id } = (opened["openKycCase"] as { kycCase: { id: string } }).kycCase;
    await api.get(submit, { id, reference }, caller);
    await api.get(review, { id }, caller);
    return { id, caller };
  }

  test("from the case to the level", async () => {
    const { id, caller } = await reviewed("archive:passport-1");
    expect(await codes(decide, { id, decision: "APPROVED" }, admin)).toEqual(["LG385"]);
    await runChecks();
    expect(await api.get(readCase, { id }, admin)).toEqual({
      kycCase: { status: "IN_REVIEW", message: null, checks: { nodes: [{ status: "PASSED", finding: null }] } },
    });
    const [reference, request] = [...provider.checks].at(-1) ?? [];
    expect(reference).toMatch(/^\d+\.[0-9a-f-]{36}$/);
    expect(request).toMatchObject({
      level: 2,
      evidence: [{ kind: "identity_document", reference: "archive:passport-1" }],
    });
    expect(await codes(decide, { id, decision: "APPROVED" }, caller)).toEqual(["LG402"]);
    expect(await api.get(decide, { id, decision: "APPROVED" }, admin)).toMatchObject({
      decideKycCase: {
        kycCase: {
          status: "APPROVED",
          message: "Welcome.",
          decisions: { nodes: [{ status: "APPROVED", level: 2, reason: "Seen in person." }] },
        },
      },
    });
    const profile = `{ kycProfile { level currentLevel status expiresAt } }`;
    expect(await api.get(profile, {}, caller)).toMatchObject({
      kycProfile: { level: 2, currentLevel: 2, status: "VERIFIED" },
    });
    await owner.query("update app_public.kyc_profiles set expires_at = now() where user_id = $1", [caller.user]);
    expect(await api.get(profile, {}, caller)).toMatchObject({ kycProfile: { level: 2, currentLevel: 0 } });
  });

  test("when the provider needs more information", async () => {
    const { id, caller } = await reviewed("simulate:needs-information");
    await runChecks();
    expect(await api.get(own, { id }, caller)).toEqual({
      kycCase: { status: "NEEDS_INFORMATION", message: "The document cannot be read. Send a better picture." },
    });
    await api.get(submit, { id, reference: "archive:passport-2" }, caller);
    await api.get(review, { id }, caller);
    await runChecks();
    const data = await api.get(readCase, { id }, admin);
    expect((data["kycCase"] as { checks: { nodes: unknown[] } }).checks.nodes.at(-1)).toEqual({
      status: "PASSED",
      finding: null,
    });
  });

  test("when the provider finds against it", async () => {
    const { id } = await reviewed("simulate:fail");
    await runChecks();
    expect(await codes(decide, { id, decision: "APPROVED" }, admin)).toEqual(["LG385"]);
    expect(await api.get(decide, { id, decision: "REJECTED" }, admin)).toMatchObject({
      decideKycCase: { kycCase: { status: "REJECTED" } },
    });
  });

  test("is out of sight for everybody else", async () => {
    const { id } = await reviewed("archive:passport-3");
    for (const caller of [stranger, otherAdmin]) {
      expect(await api.get(own, { id }, caller)).toEqual({ kycCase: null });
      expect(await codes(submit, { id, reference: "mine" }, caller)).toEqual(["LG381"]);
    }
    await runChecks();
  });

  test("evidence is read in full with the permission, and recorded", async () => {
    const { id, caller } = await reviewed("archive:passport-4");
    await runChecks();
    const data = await api.get(`query ($id: UUID!) { kycCase(id: $id) { evidence { nodes { id } } } }`, { id }, caller);
    const evidence = (data["kycCase"] as { evidence: { nodes: { id: string }[] } }).evidence.nodes[0]?.id;
    const revealEvidence = `mutation ($id: UUID!) {
      revealKycEvidence(input: { id: $id, purpose: "a question of the customer" }) { reference }
    }`;
    const full = { revealKycEvidence: { reference: "archive:passport-4" } };
    expect(await api.get(revealEvidence, { id: evidence }, caller)).toEqual(full);
    expect(await api.get(revealEvidence, { id: evidence }, admin)).toEqual(full);
    expect(await codes(revealEvidence, { id: evidence }, stranger)).toEqual(["LG381"]);
    expect(await codes(revealEvidence, { id: evidence }, otherAdmin)).toEqual(["LG402"]);
    const { rows } = await owner.query(
      "select user_id from app_private.audit_entries where operation = 'read' and row_key = $1 order by id",
      [evidence],
    );
    expect(rows).toEqual([{ user_id: null }, { user_id: caller.user }, { user_id: staff }]);
  });
});

describe("the webhook of the provider", () => {
  const url = api.url.replace("/graphql", "/api/v1/webhooks/kyc");
  const send = (body: string, signature?: string): Promise<Response> =>
    fetch(url, { method: "POST", body, headers: signature === undefined ? {} : { "x-kyc-signature": signature } });

  test("makes the worker ask at once, and believes nothing else", async () => {
    const opened = await api.get(
      `mutation { openKycCase(input: { requestedLevel: 1 }) { kycCase { id } } }`,
      {},
      { role: "customer", user: crypto.randomUUID() },
    );
    const { id } = (opened["openKycCase"] as { kycCase: { id: string } }).kycCase;
    const { rows } = await owner.query<{ id: string }>(
      `insert into app_public.kyc_checks (tenant_id, case_id, status, provider_reference, due_at)
       values ($1, $2, 'submitted', 'p', now() + interval '1 hour') returning id`,
      [api.books.tenant, id],
    );
    const dueIn = async (): Promise<{ seconds: number; status: string }> => {
      const { rows: now } = await owner.query<{ seconds: number; status: string }>(
        `select extract(epoch from due_at - now())::integer as seconds, status
         from app_public.kyc_checks where id = $1`,
        [rows[0]?.id],
      );
      return now[0] ?? { seconds: Number.NaN, status: "" };
    };
    const body = JSON.stringify({ reference: `${api.books.tenant}.${rows[0]?.id}`, status: "passed" });
    for (const signature of [
      undefined,
      "",
      sign("another secret", Buffer.from(body)),
      sign(kycSecret, Buffer.from(`${body} `)),
      sign(kycSecret, Buffer.from(body), Date.now() - 301_000),
    ]) {
      expect((await send(body, signature)).status).toBe(401);
    }
    expect((await dueIn()).seconds).toBeGreaterThan(3000);
    expect((await send(body, sign(kycSecret, Buffer.from(body)))).status).toBe(202);
    expect(await dueIn()).toEqual({ seconds: expect.any(Number), status: "submitted" });
    expect((await dueIn()).seconds).toBeLessThanOrEqual(0);
    // What is none of ours is taken the same.
    for (const reference of ["x", `999999.${rows[0]?.id}`, "1.'; drop table x"]) {
      const other = JSON.stringify({ reference });
      expect((await send(other, sign(kycSecret, Buffer.from(other)))).status).toBe(202);
    }
  });
});

describe("what a level allows", () => {
  const setLimit = `mutation Limit($input: SetKycLevelLimitInput!) {
    setKycLevelLimit(input: $input) { kycLevelLimit { level currencyCode maximumOutPerDay } }
  }`;
  const post = `mutation Post($from: UUID!, $to: UUID!, $amount: Amount!) {
    postTransaction(input: { transaction: { postings: [
      { accountId: $from, direction: DEBIT, amount: $amount }
      { accountId: $to, direction: CREDIT, amount: $amount }
    ] } }) { result { isReplayed } }
  }`;
  const { cash, wallet } = api.books;
  const takeOut = async (amount: string): Promise<unknown> => {
    const { errors } = await api.ask(post, { from: wallet, to: cash, amount }, admin);
    return errors[0]?.extensions["code"] ?? "posted";
  };

  test("is set by an admin, and holds at the next posting", async () => {
    await api.get(post, { from: cash, to: wallet, amount: "100000" }, admin);
    expect(await takeOut("5000")).toBe("posted");
    const input = { level: 0, currency: "USD", maximumOutPerDay: "6000", maximumTransaction: "5000" };
    expect(await codes(setLimit, { input }, teller)).toEqual(["LG402"]);
    expect(await api.get(setLimit, { input }, admin)).toEqual({
      setKycLevelLimit: { kycLevelLimit: { level: 0, currencyCode: "USD", maximumOutPerDay: "6000" } },
    });
    expect(await takeOut("5001")).toBe("LG208");
    // What had left before the limit was set counts.
    expect(await takeOut("1001")).toBe("LG207");
    expect(await takeOut("1000")).toBe("posted");
  });

  test("follows the level, and its expiry at that instant", async () => {
    await api.get(setLimit, { input: { level: 1, currency: "USD", maximumOutPerDay: "20000" } }, admin);
    await owner.query(
      `insert into app_public.kyc_profiles (tenant_id, user_id, level, status, expires_at)
       values ($1, $2, 1, 'verified', clock_timestamp() + interval '1 hour')`,
      [api.books.tenant, api.books.customer],
    );
    expect(await takeOut("9000")).toBe("posted");
    await owner.query(
      `update app_public.kyc_profiles set expires_at = clock_timestamp() + interval '300 ms' where user_id = $1`,
      [api.books.customer],
    );
    expect(await takeOut("100")).toBe("posted");
    await owner.query("select pg_sleep(0.3)");
    expect(await takeOut("100")).toBe("LG207");
    await owner.query("update app_public.kyc_profiles set expires_at = now() + interval '1 hour' where user_id = $1", [
      api.books.customer,
    ]);
  });

  test("holds when many ask at once", async () => {
    // 4,900 are left of the day: 49 of the 60 find room.
    const codesOf = await Promise.all(Array.from({ length: 60 }, () => takeOut("100")));
    expect(codesOf.filter((code) => code === "posted")).toHaveLength(49);
    expect(codesOf.filter((code) => code === "LG207")).toHaveLength(11);
    const { rows } = await owner.query<{ count: string }>("select count(*) from checks.outflow_windows_that_differ");
    expect(rows).toEqual([{ count: "0" }]);
  });
});
