import { expect, test } from "@jest/globals";
import {
  checkTemplate,
  htmlToText,
  renderTemplate,
  TemplateError,
  type View,
} from "../../../src/notifications/templates.ts";
import { formatAmount, toDecimal, viewOf } from "../../../src/notifications/words.ts";
import { createTestDatabase } from "../../support/test_database.ts";

const db = await createTestDatabase();
const owner = db.pool("owner");
const sample: View = { name: "Ada", reference: "R", isIncoming: true, items: [{ subject: "s", text: "t" }] };

/** The fault of a template, or undefined. */
function fault(body: string, subject: string | null = "s"): string | undefined {
  try {
    checkTemplate({ subject, body }, sample);
    return undefined;
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    return `${error.field}: ${error.message}`;
  }
}

test.each([
  "{{name}}",
  "{{! a remark }}plain",
  "{{#isIncoming}}{{name}}{{/isIncoming}}{{^isIncoming}}no{{/isIncoming}}",
  "{{#items}}{{subject}} {{text}} {{name}} {{.}}{{/items}}",
])("%s is a template", (body) => {
  expect(fault(body)).toBeUndefined();
});

test.each([
  ["{{{name}}}", "body: {{{name}}} is not escaped: write {{name}}."],
  ["{{&name}}", "body: {{{name}}} is not escaped: write {{name}}."],
  ["{{> other}}", "body: There are no partials: {{>other}}."],
  ["{{=<% %>=}}<%& name %>", "body: The delimiters stay as they are."],
  ["{{nobody}}", 'body: There is no value "nobody".'],
  ["{{constructor}}", 'body: There is no value "constructor".'],
  ["{{name.constructor}}", 'body: There is no value "name.constructor".'],
  ["{{.}}", 'body: There is no value ".".'],
  ["{{text}}", 'body: There is no value "text".'],
  ["{{#name}}", 'body: It cannot be read: Unclosed section "name" at 9.'],
  ["{{#items}}{{#items}}{{/items}}{{/items}}", "body: {{#items}} is inside itself."],
  [
    "{{#name}}{{#reference}}{{#isIncoming}}{{#items}}{{/items}}{{/isIncoming}}{{/reference}}{{/name}}",
    "body: Sections are nested too deep: {{#items}}.",
  ],
])("%s is refused", (body, message) => {
  expect(fault(body)).toBe(message);
});

test("a fault of the subject is told as one", () => {
  expect(fault("x", "{{nobody}}")).toBe('subject: There is no value "nobody".');
});

test("values are escaped in the HTML of a mail, and in nothing that is text", () => {
  const view = { name: `<img src=x onerror="alert('1')">&` };
  const mail = renderTemplate("email", { subject: "{{name}}", body: '<b title="{{name}}">{{name}}</b>' }, view);
  const escaped = "&lt;img src&#x3D;x onerror&#x3D;&quot;alert(&#39;1&#39;)&quot;&gt;&amp;";
  expect(mail.html).toBe(`<b title="${escaped}">${escaped}</b>`);
  expect(mail.subject).toBe(view.name);
  expect(mail.text).toBe(view.name);
  expect(renderTemplate("sms", { subject: null, body: "{{name}}" }, view)).toEqual({
    subject: null,
    text: view.name,
    html: null,
  });
});

test("a value is not a template, and what objects inherit is no value", () => {
  const view = { name: "{{reference}}{{#isIncoming}}", reference: "secret" };
  expect(renderTemplate("chat", { subject: null, body: "{{name}}" }, view).text).toBe(view.name);
  const inherited = "[{{constructor}}{{#toString}}x{{/toString}}{{__proto__}}{{hasOwnProperty}}]";
  expect(renderTemplate("chat", { subject: null, body: inherited }, view).text).toBe("[]");
});

test("a subject is one line, whatever is in its values", () => {
  const reference = "x\r\nBcc: eve@example.com\u2028y\u0000z\u202egnp.exe";
  const { subject } = renderTemplate("email", { subject: "Paid {{reference}}", body: "x" }, { reference });
  expect(subject).toBe("Paid x Bcc: eve@example.com y z gnp.exe");
});

test("messages have an end", () => {
  const view = { name: "x".repeat(300_000) };
  expect(renderTemplate("sms", { subject: null, body: "{{name}}" }, view).text).toHaveLength(1_000);
  expect(renderTemplate("email", { subject: "{{name}}", body: "{{name}}" }, view).html).toHaveLength(200_000);
  expect(renderTemplate("email", { subject: "{{name}}", body: "" }, view).subject).toHaveLength(200);
});

test("HTML as text", () => {
  const html = `<style>p{}</style><p>Hello <b>you</b>,<br>two</p>\n<ul><li>a</li><li>b &amp; c</li></ul>
    <p><a class="x" href="https://e.org/?a=1&amp;b=2">here</a> &#8364;&#x20AC;&nosuch;</p><script>no()</script>`;
  expect(htmlToText(html)).toBe("Hello you,\ntwo\n\n- a\n- b & c\nhere: https://e.org/?a=1&b=2 €€&nosuch;");
});

test.each([
  ["1234", 2, "EUR", "de", "12,34\u00a0€"],
  ["5", 3, "KWD", "en", "KWD\u00a00.005"],
  ["-5", 2, "USD", "en", "-$0.05"],
  ["100", 0, "JPY", "en", "¥100"],
  ["12345678901234567890123456789", 18, "ETHER", "en", "12,345,678,901.234567890123456789 ETHER"],
])("%s at %i in %s is written in %s", (amount, exponent, currency, language, expected) => {
  expect(formatAmount(amount, exponent, currency, language)).toBe(expected);
});

test("minor units as a decimal", () => {
  expect(["0", "7", "-7", "1234"].map((amount) => toDecimal(amount, 2))).toEqual(["0.00", "0.07", "-0.07", "12.34"]);
  expect(toDecimal("1234", 0)).toBe("1234");
});

test("the words that come with the ledger can be used, in each language and channel", async () => {
  const { rows } = await owner.query(
    `select t.kind, t.channel, t.language, t.subject, t.body, k.sample
     from app_public.default_notification_templates t join app_public.notification_kinds k using (kind)`,
  );
  expect(rows.length).toBeGreaterThan(80);
  for (const { kind, channel, language, subject, body, sample: facts } of rows) {
    const reader = { language, timeZone: "UTC", name: "Ada", tenantName: "Acme" };
    const view = viewOf(facts, reader, { receiptUrl: "https://example.com/r.pdf" });
    checkTemplate({ subject, body }, view);
    const rendered = renderTemplate(channel, { subject, body }, view);
    expect({ kind, channel, language, text: rendered.text }).toEqual({
      kind,
      channel,
      language,
      text: expect.stringMatching(/\w{3}/),
    });
    expect(`${rendered.subject}${rendered.text}`).not.toMatch(/\{\{|undefined|Invalid|NaN/);
  }
  // Every kind that is told by default has its words in both languages, by each channel.
  const { rows: missing } = await owner.query(
    `select k.kind, c, l
     from app_public.notification_kinds k
     cross join unnest(k.channels) c cross join unnest('{en,de}'::text[]) l
     where app_private.notification_template(null, k.kind, c, array[l]) is null`,
  );
  expect(missing).toEqual([]);
});
