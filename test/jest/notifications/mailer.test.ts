import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type CaughtMail, startMailCatcher } from "../../../src/mail_catcher/catcher.ts";
import { type Mail, smtpMailer } from "../../../src/mailer.ts";
import { DeliveryError, type MailTransport, type OutgoingMail } from "../../../src/notifications/email.ts";
import { bootApi } from "../api/_api.ts";
import { makePerson, post } from "../identity/_people.ts";

/* Messages about accounts, from the request to the mailbox, and the page that shows them. */
const catcher = await startMailCatcher();
afterAll(() => catcher.stop());
const api = await bootApi({
  TALLYSTICK_SMTP_URL: catcher.smtpUrl,
  TALLYSTICK_MAIL_FROM: "Tallystick <mail@ledger.example>",
});
const owner = api.db.pool("owner");

beforeAll(async () => {
  await owner.query("update app_public.tenants set is_registration_open = true, name = 'A < B' where slug = 'acme'");
});

async function mailTo(address: string): Promise<CaughtMail> {
  for (let n = 0; n < 250; n += 1) {
    const mail = catcher.mails().find(({ recipients }) => recipients.includes(address));
    if (mail) return mail;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error(`There is no mail. ${api.log().slice(-1500)}`);
}

const tokenIn = (mail: CaughtMail): string => /<code>([\w-]{20,})<\/code>/.exec(mail.email.html ?? "")?.[1] ?? "";

test("who registers gets a token by mail, which confirms", async () => {
  const email = "new@example.com";
  const password = "correct horse battery staple";
  const answer = await post(api, "register", { email, password, name: "New", tenant: "acme" });
  expect(answer.status).toBe(202);
  const mail = await mailTo(email);
  expect(mail.email.subject).toBe("Confirm your registration with A < B");
  expect(mail.email.html).toContain("your registration with A &lt; B");
  expect(mail.email.text).toContain("Confirm with the password that you chose.");
  expect((await post(api, "confirm", { token: tokenIn(mail), password })).status).toBe(201);
});

test("a token for a new password is in the words and the language of the only tenant of the person", async () => {
  const person = await makePerson(api.db, { roles: { [api.books.tenant]: "teller" } });
  await owner.query(
    "insert into app_public.notification_profiles (tenant_id, user_id, language) values ($1, $2, 'de')",
    [api.books.tenant, person.userId],
  );
  await owner.query(
    `insert into app_public.notification_templates (tenant_id, kind, channel, language, subject, body)
     values ($1, 'password.reset', 'email', 'de', 'Neu bei {{tenantName}}', '<code>{{token}}</code> {{expiresAt}}')`,
    [api.books.tenant],
  );
  const ask = (email: string) =>
    api.ask(
      "mutation ($email: String!) { requestPasswordReset(input: { email: $email }) { isDone } }",
      { email },
      {
        role: "anonymous",
      },
    );
  await ask(person.email);
  const mail = await mailTo(person.email);
  expect(mail.email.subject).toBe("Neu bei A < B");
  const reset = `mutation ($token: String!) {
    resetPassword(input: { token: $token, newPassword: "another correct horse battery" }) { isDone } }`;
  const answer = await api.ask(reset, { token: tokenIn(mail) }, { role: "anonymous" });
  expect(answer.errors).toEqual([]);
});

test("an invitation opens with the token in its mail; no token is in the database or the log", async () => {
  await api.get(`mutation { inviteMember(input: { email: "guest@example.com", role: TELLER }) { invitation { id } } }`);
  const mail = await mailTo("guest@example.com");
  expect(mail.email.subject).toBe("You are invited to A < B");
  const token = tokenIn(mail);
  const answer = await post(api, "register", {
    email: "guest@example.com",
    password: "correct horse battery staple",
    name: "Guest",
    invitation: token,
  });
  expect(answer.status).toBe(201);
  const { rows } = await api.db.withClient("superuser", (client) =>
    client.query<{ name: string }>(
      `select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'p') and n.nspname ~ '^(app_|graphile_worker)'`,
    ),
  );
  for (const { name } of rows) {
    const found = await api.db.withClient("superuser", (client) =>
      client.query(`select 1 from ${name} t where position($1 in t::text) > 0`, [token]),
    );
    expect({ name, rows: found.rowCount }).toEqual({ name, rows: 0 });
  }
  expect(api.log()).not.toContain(token);
  expect(api.log()).not.toContain("guest@example.com");
});

describe("the mailer", () => {
  const sent: OutgoingMail[] = [];
  const warnings: unknown[] = [];
  const log = { warn: (...what: unknown[]) => warnings.push(what) } as never;
  const words = {
    template: { subject: "S", body: "<b>{{token}}</b>", language: "en", isOwn: false },
    fallback: null,
    sample: { token: "x" },
  };
  const findWords = async () => ({ words, tenantName: null, timeZone: "UTC" });
  const mail: Mail = { kind: "invitation", to: "a@example.com", token: "t0ken", expiresAt: new Date(), facts: {} };

  function transport(failures: Error[]): MailTransport {
    return {
      send: async (message) => {
        const failure = failures.shift();
        if (failure) throw failure;
        sent.push(message);
      },
      close: () => undefined,
    };
  }

  test("tries again what failed, and gives up what is no use", async () => {
    const failures = [new DeliveryError("busy"), new DeliveryError("busy")];
    await smtpMailer({ transport: transport(failures), findWords, log, waits: [1, 1, 1] })(mail);
    expect(sent).toMatchObject([{ to: "a@example.com", html: "<b>t0ken</b>", text: "t0ken" }]);
    expect(JSON.stringify(warnings)).not.toMatch(/t0ken|a@example/);
    const endless = Array.from({ length: 9 }, () => new DeliveryError("busy"));
    await expect(smtpMailer({ transport: transport(endless), findWords, log, waits: [1, 1] })(mail)).rejects.toThrow(
      "busy",
    );
    expect(endless).toHaveLength(6);
    const unknown = [new DeliveryError("no such address", true), new DeliveryError("again")];
    await expect(smtpMailer({ transport: transport(unknown), findWords, log, waits: [1] })(mail)).rejects.toThrow(
      "no such",
    );
    expect(unknown).toHaveLength(1);
  });
});

describe("the page of the mail catcher", () => {
  const get = (path: string, headers: Record<string, string> = {}) => fetch(`${catcher.url}${path}`, { headers });

  test("shows mails, and nothing in them runs", async () => {
    await owner.query("update app_public.tenants set name = $1 where slug = 'acme'", [
      "</title><script>alert(1)</script>",
    ]);
    await api.get(`mutation { inviteMember(input: { email: "x@example.com", role: TELLER }) { invitation { id } } }`);
    const { id } = await mailTo("x@example.com");
    const list = await get("/");
    expect(list.headers.get("content-security-policy")).toContain("default-src 'none'");
    const listed = await list.text();
    expect(listed).toContain(`/mails/${id}`);
    const page = await (await get(`/mails/${id}`)).text();
    for (const text of [listed, page]) expect(text).not.toContain("<script>");
    expect(page).toContain(`<iframe sandbox src="/mails/${id}/html"`);
    const html = await get(`/mails/${id}/html`);
    expect(html.headers.get("content-security-policy")).toMatch(/default-src 'none'.*sandbox$/);
    expect((await get(`/mails/${id}/raw`)).headers.get("content-type")).toBe("text/plain; charset=utf-8");
  });

  test("hands out attachments as downloads", async () => {
    const { createTransport } = await import("nodemailer");
    const { hostname, port } = new URL(catcher.smtpUrl);
    const sender = createTransport({ host: hostname, port: Number(port), ignoreTLS: true });
    const attachments = [{ filename: `a"b'.html`, content: "<script>alert(1)</script>", contentType: "text/html" }];
    await sender.sendMail({ from: "a@example.com", to: "attached@example.com", subject: "s", text: "t", attachments });
    sender.close();
    const { id } = await mailTo("attached@example.com");
    const response = await get(`/mails/${id}/attachments/0`);
    expect(response.headers.get("content-type")).toBe("application/octet-stream");
    expect(response.headers.get("content-disposition")).toBe("attachment; filename*=UTF-8''a%22b_.html");
    expect((await get(`/mails/${id}/attachments/7`)).status).toBe(404);
  });

  test("is for this machine alone, by its own name", async () => {
    const { request } = await import("node:http");
    const status = await new Promise((done) => {
      request(catcher.url, { headers: { host: "evil.example.com" } }, (response) => {
        response.resume();
        done(response.statusCode);
      }).end();
    });
    expect(status).toBe(403);
    expect((await fetch(catcher.url, { method: "POST" })).status).toBe(405);
    expect((await get("/mails/nobody")).status).toBe(404);
    expect((await get("/etc/passwd")).status).toBe(404);
  });
});
