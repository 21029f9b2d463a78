import { afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { runDueJobs, workerPool } from "../../support/jobs.ts";
import { relayAll } from "../../support/relay.ts";
import { bootApi, type Caller } from "../api/_api.ts";
import { makePerson } from "../identity/_people.ts";

/* What the API says about messages: words, rules, preferences, and those in the app. */
const api = await bootApi();
const { books, otherBooks } = api;
const worker = workerPool(api.db);
const owner = api.db.pool("owner");
const customer: Caller = { role: "customer", user: books.customer };
const closers: (() => unknown)[] = [];
afterEach(async () => void (await Promise.all(closers.splice(0).map((close) => close()))));

beforeAll(async () => {
  // Who signs in is a member from then on, and has an address.
  await api.get("{ currentTenant { name } }", {}, customer);
  await api.get("{ currentTenant { name } }", {}, { tenant: otherBooks.tenant });
});

const set = /* GraphQL */ `
  mutation ($input: SetNotificationTemplateInput!) {
    setNotificationTemplate(input: $input) { notificationTemplate { kind channel language subject body } }
  }
`;
const settled = {
  kind: "payment.settled",
  channel: "EMAIL",
  language: "en",
  subject: "Paid",
  body: "<p>{{amount}}</p>",
};

/** Tells the customer that a payment was made, as the stream of events does. */
async function happen(kind = "payment.settled", data: object = {}): Promise<string> {
  const { rows } = await owner.query<{ id: string }>("select uuidv7() as id");
  const id = rows[0]?.id ?? "";
  await owner.query("select app_private.record_event($1, $2, $3, $4)", [
    books.tenant,
    kind,
    id,
    { accountId: books.wallet, amount: "1234", currency: "USD", ...data },
  ]);
  await relayAll(worker);
  await runDueJobs(worker);
  return id;
}

describe("words", () => {
  test("are set, shown, previewed and taken away", async () => {
    const data = await api.get(set, { input: settled });
    expect(data.setNotificationTemplate.notificationTemplate).toEqual(settled);
    await api.get(set, { input: { ...settled, subject: "Paid again" } });
    const { notificationTemplates } = await api.get("{ notificationTemplates { nodes { subject } } }");
    expect(notificationTemplates.nodes).toEqual([{ subject: "Paid again" }]);
    const preview = `query ($body: String, $subject: String) {
      previewNotification(kind: "payment.settled", channel: EMAIL, language: "de", subject: $subject, body: $body) {
        subject text html } }`;
    // There are none of the tenant in German.
    const german = await api.get(preview);
    expect(german.previewNotification.text).toContain(
      "Guten Tag Ada Lovelace,\nSie haben 12,34 € erhalten (INV-2026-7).",
    );
    const tried = await api.get(preview, { subject: "{{name}}", body: "{{description}}" });
    expect(tried.previewNotification).toEqual({
      subject: "Ada Lovelace",
      text: "Rent <March>",
      html: "Rent &lt;March&gt;",
    });
    const reset = `mutation { resetNotificationTemplate(
      input: { kind: "payment.settled", channel: EMAIL, language: "en" }) { isReset } }`;
    expect((await api.get(reset)).resetNotificationTemplate).toEqual({ isReset: true });
    expect((await api.get(reset)).resetNotificationTemplate).toEqual({ isReset: false });
  });

  test.each([
    [{ body: "{{nobody}}" }, "LG740", { field: "body", fault: 'There is no value "nobody".' }],
    [{ body: "{{{amount}}}" }, "LG740", { field: "body", fault: "{{{amount}}} is not escaped: write {{amount}}." }],
    [{ subject: "{{#amount}}" }, "LG740", { field: "subject" }],
    [{ subject: "a\nb" }, "LG740", { field: "subject", fault: "It must be one line of 1 to 200 characters." }],
    [{ subject: null }, "LG740", { field: "subject", fault: "It is missing." }],
    [{ channel: "SMS" }, "LG740", { field: "subject", fault: "This channel has none." }],
    [{ body: "" }, "LG740", { field: "body" }],
    [{ body: "x".repeat(20_001) }, "LG740", { field: "body" }],
    [{ kind: "payment.dreamt" }, "LG741", { kind: "payment.dreamt" }],
    [{ kind: "password.reset", channel: "IN_APP", body: "x" }, "LG741", { kind: "password.reset" }],
    [{ language: "deutsch" }, "LG744", { language: "deutsch" }],
  ])("%j are refused with %s", async (more, code, detail) => {
    const { errors } = await api.ask(set, { input: { ...settled, ...more } });
    expect(errors[0]?.extensions).toMatchObject({ code, detail });
  });

  test("are previewed with the same refusals", async () => {
    const preview = `query ($kind: String!, $body: String) {
      previewNotification(kind: $kind, channel: SMS, language: "en", body: $body) { text } }`;
    const code = async (kind: string, body: string) =>
      (await api.ask(preview, { kind, body })).errors[0]?.extensions.code;
    expect(await code("payment.settled", "{{nobody}}")).toBe("LG740");
    expect(await code("payment.dreamt", "x")).toBe("LG741");
    expect(await code("payment.settled", "x")).toBeUndefined();
  });

  test("of another tenant are not there", async () => {
    await api.get(set, { input: settled });
    const there = { tenant: otherBooks.tenant };
    const { notificationTemplates } = await api.get("{ notificationTemplates { nodes { subject } } }", {}, there);
    expect(notificationTemplates.nodes).toEqual([]);
    await api.get(`mutation { resetNotificationTemplate(
      input: { kind: "payment.settled", channel: EMAIL, language: "en" }) { isReset } }`);
  });
});

describe("what people want", () => {
  const profile = `mutation ($input: SetNotificationProfileInput!) {
    setNotificationProfile(input: $input) {
      notificationProfile { language timeZone quietFrom quietTo digest attachReceipts } } }`;
  const all = {
    language: "de-AT",
    timeZone: "Europe/Vienna",
    quietFrom: "22:00",
    quietTo: "07:00",
    digest: "DAILY",
    attachReceipts: true,
  };

  test("is set as a whole, and seen by nobody else", async () => {
    const data = await api.get(profile, { input: all }, customer);
    expect(data.setNotificationProfile.notificationProfile).toEqual(all);
    const query = "{ notificationProfiles { nodes { language userId } } }";
    expect((await api.get(query, {}, customer)).notificationProfiles.nodes).toEqual([
      { language: "de-AT", userId: books.customer },
    ]);
    expect((await api.get(query)).notificationProfiles.nodes).toEqual([]);
    const cleared = await api.get(profile, { input: {} }, customer);
    expect(cleared.setNotificationProfile.notificationProfile).toEqual({
      language: null,
      timeZone: null,
      quietFrom: null,
      quietTo: null,
      digest: "NONE",
      attachReceipts: false,
    });
  });

  test.each([
    [{ timeZone: "Mars/Olympus" }, "LG742"],
    [{ timeZone: "CEST" }, "LG742"],
    [{ quietFrom: "22:00" }, "LG743"],
    [{ quietFrom: "22:00", quietTo: "22:00" }, "LG743"],
    [{ quietFrom: "22:00", quietTo: "7:00" }, "LG743"],
    [{ quietFrom: "24:00", quietTo: "07:00" }, "LG743"],
    [{ language: "german" }, "LG744"],
  ])("%j is refused with %s", async (input, code) => {
    expect((await api.ask(profile, { input }, customer)).errors[0]?.extensions.code).toBe(code);
  });

  test("preferences are patterns of kinds", async () => {
    const prefer = `mutation ($pattern: String!, $isEnabled: Boolean) {
      setNotificationPreference(input: { pattern: $pattern, channel: EMAIL, isEnabled: $isEnabled }) { isEnabled } }`;
    const query = "{ notificationPreferences { nodes { pattern isEnabled } } }";
    for (const pattern of ["*", "payment.*"]) await api.get(prefer, { pattern, isEnabled: false }, customer);
    await api.get(prefer, { pattern: "*", isEnabled: true }, customer);
    const { notificationPreferences } = await api.get(query, {}, customer);
    expect(notificationPreferences.nodes).toEqual([
      { pattern: "*", isEnabled: true },
      { pattern: "payment.*", isEnabled: false },
    ]);
    for (const pattern of ["", "payment", "payment.**", "%", "Payment.settled", "payment..settled"]) {
      const { errors } = await api.ask(prefer, { pattern, isEnabled: true }, customer);
      expect(errors[0]?.extensions.code).toBe("LG745");
    }
    for (const pattern of ["*", "payment.*"]) await api.get(prefer, { pattern, isEnabled: null }, customer);
    expect((await api.get(query, {}, customer)).notificationPreferences.nodes).toEqual([]);
  });
});

test("rules and settings of the tenant", async () => {
  const rule = `mutation ($kind: String!, $channels: [NotificationChannel]!) {
    setNotificationRule(input: { kind: $kind, audience: ADMIN, channels: $channels }) {
      notificationRule { kind audience channels } } }`;
  const { setNotificationRule } = await api.get(rule, { kind: "payment.failed", channels: ["SMS", "EMAIL", "SMS"] });
  expect(setNotificationRule.notificationRule).toEqual({
    kind: "payment.failed",
    audience: "ADMIN",
    channels: ["EMAIL", "SMS"],
  });
  expect((await api.ask(rule, { kind: "no.such", channels: [] })).errors[0]?.extensions.code).toBe("LG741");
  // Only a tenant that wants to hear of transactions has them in its stream.
  const streams = async () =>
    (
      await owner.query("select 1 from app_private.event_streams where tenant_id = $1 and has_transactions", [
        books.tenant,
      ])
    ).rowCount;
  expect(await streams()).toBe(0);
  await api.get(rule, { kind: "transaction.expired", channels: ["IN_APP"] });
  expect(await streams()).toBe(1);
  const settings = `mutation ($input: SetNotificationSettingsInput!) {
    setNotificationSettings(input: $input) { notificationSetting { language timeZone receiptsNumbered } } }`;
  const first = await api.get(settings, { input: { language: "de" } });
  expect(first.setNotificationSettings.notificationSetting).toEqual({
    language: "de",
    timeZone: "UTC",
    receiptsNumbered: false,
  });
  const second = await api.get(settings, { input: { timeZone: "Europe/Berlin", language: "en" } });
  expect(second.setNotificationSettings.notificationSetting).toMatchObject({
    language: "en",
    timeZone: "Europe/Berlin",
  });
  expect((await api.ask(settings, { input: { timeZone: "x" } })).errors[0]?.extensions.code).toBe("LG742");
});

describe("messages in the app", () => {
  const own = `query ($unreadOnly: Boolean) {
    ownNotifications(unreadOnly: $unreadOnly) { nodes { id subject body readAt kind } } unreadNotificationCount }`;
  const mark = "mutation ($ids: [UUID]) { markNotificationsRead(input: { ids: $ids }) { count } }";

  test("are listed, counted, and read by whom they are to", async () => {
    await happen();
    await happen("payment.returned", { reference: "R-1" });
    const before = await api.get(own, {}, customer);
    expect(before.ownNotifications.nodes).toMatchObject([
      { body: "The payment of $12.34 (R-1) came back.", readAt: null },
      { subject: "Payment made", readAt: null },
    ]);
    expect(before.unreadNotificationCount).toBe(2);
    const ids = before.ownNotifications.nodes.map(({ id }: { id: string }) => id);
    // Nobody reads in the name of another, and admins see the messages to others as what was sent, not as theirs.
    expect((await api.get(mark, { ids })).markNotificationsRead.count).toBe(0);
    expect((await api.get(own)).ownNotifications.nodes).toEqual([]);
    expect((await api.get("{ notifications { totalCount } }")).notifications.totalCount).toBeGreaterThanOrEqual(4);
    expect(
      (await api.get("{ notifications { totalCount } }", {}, { role: "accountant" })).notifications.totalCount,
    ).toBe(0);
    const there = { tenant: otherBooks.tenant };
    expect((await api.get("{ notifications { totalCount } }", {}, there)).notifications.totalCount).toBe(0);
    expect((await api.get(mark, { ids: [ids[0]] }, customer)).markNotificationsRead.count).toBe(1);
    const unread = await api.get(own, { unreadOnly: true }, customer);
    expect(unread.ownNotifications.nodes.map(({ id }: { id: string }) => id)).toEqual([ids[1]]);
    expect(unread.unreadNotificationCount).toBe(1);
    expect((await api.get(mark, {}, customer)).markNotificationsRead.count).toBe(1);
    expect((await api.get(mark, {}, customer)).markNotificationsRead.count).toBe(0);
  });

  test("are told live to whom they are to, and to nobody else", async () => {
    const listen = (caller: Caller): unknown[] => {
      const values: unknown[] = [];
      const client = createClient({
        url: api.url.replace("http", "ws"),
        webSocketImpl: WebSocket,
        connectionParams: { authorization: `Bearer ${api.token(caller)}` },
        retryAttempts: 0,
      });
      closers.push(() => client.dispose());
      client.subscribe(
        { query: "subscription { notificationReceived { notification { kind body } } }" },
        { next: (value) => values.push(value), error: (error) => values.push(error), complete: () => undefined },
      );
      return values;
    };
    const [mine, admins] = [listen(customer), listen({})];
    // LISTEN is set up after the subscription was accepted.
    await new Promise((done) => setTimeout(done, 500));
    await happen("payment.expired");
    for (let n = 0; n < 100 && mine.length === 0; n += 1) await new Promise((done) => setTimeout(done, 20));
    expect(mine).toEqual([
      {
        data: {
          notificationReceived: {
            notification: { kind: "payment.expired", body: "The payment of $12.34 was not made in time." },
          },
        },
      },
    ]);
    expect(admins).toEqual([]);
  });
});

test("an invitation is sent to whom it is for, once it is made", async () => {
  const email = "invited@example.com";
  const invite = `mutation ($email: String!) { inviteMember(input: { email: $email, role: TELLER }) { token } }`;
  const { inviteMember } = await api.get(invite, { email });
  for (let n = 0; n < 50 && api.mails.length === 0; n += 1) await new Promise((done) => setTimeout(done, 10));
  expect(api.mails).toMatchObject([
    { kind: "invitation", to: email, token: inviteMember.token, tenantId: books.tenant },
  ]);
  const refused = await api.ask(invite, { email: "other@example.com" }, { role: "teller" });
  expect(refused.errors[0]?.extensions.code).toBe("LG402");
  await makePerson(api.db, { roles: { [books.tenant]: "teller" } });
  expect(api.mails).toHaveLength(1);
});
