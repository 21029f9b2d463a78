import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeEach, describe, expect, test } from "@jest/globals";
import { SMTPServer } from "smtp-server";
import { Webhook } from "standardwebhooks";
import { type CaughtMail, startMailCatcher } from "../../../src/mail_catcher/catcher.ts";
import type { DueMessage } from "../../../src/notifications/send.ts";
import { addJob, runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { relayAll } from "../../support/relay.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { addCustomer, hurry, makeWorld, notificationsOf, pay, type World } from "./_world.ts";

/* From an event to a mail, by a real SMTP server: the job, its attempts, and what came of them. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
const catcher = await startMailCatcher();

interface Received {
  headers: IncomingHttpHeaders;
  body: string;
}
const received: Received[] = [];
let gatewayStatus = 204;
const gateway: Server = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk: Buffer) => (body += chunk.toString()));
  request.on("end", () => {
    received.push({ headers: request.headers, body });
    response.writeHead(gatewayStatus).end();
  });
});
await new Promise<void>((done) => void gateway.listen(0, "127.0.0.1", done));
const gatewayUrl = `http://127.0.0.1:${(gateway.address() as AddressInfo).port}/messages`;
const gatewaySecret = "the secret that is shared with the gateway";

afterAll(async () => {
  await catcher.stop();
  await new Promise((done) => gateway.close(done));
});

const settings = {
  TALLYSTICK_SMTP_URL: catcher.smtpUrl,
  TALLYSTICK_MAIL_FROM: "Acme <no-reply@acme.example>",
  TALLYSTICK_PUBLIC_URL: "https://ledger.example.com",
};
const config = taskConfig(settings);
let world: World;

beforeEach(async () => {
  world = await makeWorld(owner);
  received.length = 0;
  gatewayStatus = 204;
});

/** Tells of everything that has happened, and sends what is due. */
async function tell(with_ = config): Promise<void> {
  await relayAll(worker);
  await runDueJobs(worker, with_);
}

const mailsTo = (email: string): CaughtMail[] => catcher.mails().filter(({ recipients }) => recipients.includes(email));

async function statuses(userId: string): Promise<string[]> {
  const rows = await notificationsOf(owner, world.tenantId, userId);
  return rows.map(({ kind, channel, status, reason }) => [kind, channel, status, reason].filter(Boolean).join(" "));
}

test("a payment that settled is told to both its owners, by mail and in the app, once", async () => {
  const paymentId = await pay(owner, world, { reference: "INV-7" });
  await tell();
  await tell();
  const { ann, bob } = world;
  expect((await statuses(ann.userId)).sort()).toEqual([
    "payment.settled email sent",
    "payment.settled in_app delivered",
  ]);
  const [mail, ...more] = mailsTo(ann.email);
  expect(more).toEqual([]);
  expect(mail?.email.subject).toBe("Payment made");
  expect(mail?.email.text).toContain("Hello Ann Arbor,\nYour payment of $12.34 was made (INV-7).");
  expect(mail?.email.html).toContain("Acme &amp; Sons");
  expect(mail?.email.text).toContain("Acme & Sons");
  expect(mail?.email.from).toEqual({ name: "Acme", address: "no-reply@acme.example" });
  const [email, inApp] = (await notificationsOf(owner, world.tenantId, ann.userId)).sort((a) =>
    a.channel === "email" ? -1 : 1,
  );
  expect(mail?.email.messageId).toBe(`<notification-${email?.id}@acme.example>`);
  expect(inApp).toMatchObject({ subject: "Payment made", body: "Your payment of $12.34 was made (INV-7)." });
  expect(mailsTo(bob.email)[0]?.email.subject).toBe("Payment received");
  const receipts = await owner.query("select id from app_public.receipts where payment_id = $1", [paymentId]);
  expect(mail?.email.text).toContain(`https://ledger.example.com/api/v1/receipts/${receipts.rows[0]?.id}.pdf?link=`);
  // What stays in the database holds no link that opens something, and no address.
  const kept = JSON.stringify(await notificationsOf(owner, world.tenantId));
  expect(kept).not.toContain("link=");
  expect(kept).not.toContain(ann.email);
});

test("a customer who cannot be reached is told in the app alone", async () => {
  const eve = await addCustomer(owner, world.tenantId, "Eve", { isReachable: false });
  await pay(owner, { ...world, bob: eve });
  await tell();
  expect((await statuses(eve.userId)).sort()).toEqual([
    "payment.settled email suppressed no_contact",
    "payment.settled in_app delivered",
  ]);
});

test("who left the tenant, or was disabled, is not told", async () => {
  await owner.query("update app_public.memberships set status = 'disabled' where user_id = $1", [world.ann.userId]);
  await pay(owner, world);
  await tell();
  expect(await statuses(world.ann.userId)).toEqual([]);
  expect(await statuses(world.bob.userId)).toHaveLength(2);
});

test("the language and the time zone are those of the reader, else of the tenant", async () => {
  const { tenantId, ann, bob } = world;
  await owner.query(
    "insert into app_public.notification_settings (tenant_id, language, time_zone) values ($1, 'de', $2)",
    [tenantId, "Europe/Berlin"],
  );
  await owner.query(
    "insert into app_public.notification_profiles (tenant_id, user_id, language, time_zone) values ($1, $2, 'en', $3)",
    [tenantId, bob.userId, "America/New_York"],
  );
  await pay(owner, world, { amount: 123_456 });
  await tell();
  expect(mailsTo(ann.email)[0]?.email.text).toContain(
    "Guten Tag Ann Arbor,\nIhre Zahlung über 1.234,56 $ wurde ausgeführt.",
  );
  expect(mailsTo(ann.email)[0]?.email.text).toMatch(/(MEZ|MESZ|GMT\+[12])$/m);
  expect(mailsTo(bob.email)[0]?.email.text).toMatch(/You received \$1,234\.56[\s\S]+(EST|EDT|GMT-[45])$/m);
});

describe("preferences", () => {
  const prefer = (userId: string, pattern: string, channel: string, isEnabled: boolean) =>
    owner.query(
      `insert into app_public.notification_preferences (tenant_id, user_id, pattern, channel, is_enabled)
       values ($1, $2, $3, $4::app_public.notification_channel, $5)`,
      [world.tenantId, userId, pattern, channel, isEnabled],
    );

  test("the longest pattern that fits decides", async () => {
    await prefer(world.ann.userId, "*", "email", false);
    await prefer(world.bob.userId, "*", "email", false);
    await prefer(world.bob.userId, "payment.*", "email", false);
    await prefer(world.bob.userId, "payment.settled", "email", true);
    await pay(owner, world);
    await tell();
    expect(mailsTo(world.ann.email)).toEqual([]);
    expect(await statuses(world.ann.userId)).toContain("payment.settled email suppressed preference");
    expect(mailsTo(world.bob.email)).toHaveLength(1);
  });

  test("receipts are attached for those who want them, and are the same as over HTTP", async () => {
    await owner.query(
      "insert into app_public.notification_profiles (tenant_id, user_id, attach_receipts) values ($1, $2, true)",
      [world.tenantId, world.bob.userId],
    );
    await pay(owner, world);
    await tell();
    expect(mailsTo(world.ann.email)[0]?.email.attachments).toEqual([]);
    const [attached] = mailsTo(world.bob.email)[0]?.email.attachments ?? [];
    expect(attached).toMatchObject({ mimeType: "application/pdf" });
    const hash = Buffer.from(await crypto.subtle.digest("SHA-256", attached?.content as ArrayBuffer));
    const { rows } = await owner.query("select sha256 from app_public.receipt_pdfs where tenant_id = $1", [
      world.tenantId,
    ]);
    expect(rows.map(({ sha256 }) => sha256.toString("hex"))).toEqual([hash.toString("hex")]);
  });
});

describe("rules", () => {
  const rule = (kind: string, audience: string, channels: string[]) =>
    owner.query(
      `insert into app_public.notification_rules (tenant_id, kind, audience, channels)
       values ($1, $2, $3::app_public.notification_audience, $4::app_public.notification_channel[])`,
      [world.tenantId, kind, audience, channels],
    );

  test("of the tenant stand in place of those that come with the ledger", async () => {
    const tess = await addCustomer(owner, world.tenantId, "Tess", { role: "teller" });
    await rule("payment.settled", "owner", []);
    await rule("payment.settled", "teller", ["in_app"]);
    await pay(owner, world);
    await tell();
    expect(await statuses(world.ann.userId)).toEqual([]);
    expect(await statuses(tess.userId)).toEqual(["payment.settled in_app delivered"]);
  });

  test("short messages and chats go to their providers, signed", async () => {
    await rule("payment.settled", "owner", ["sms", "chat"]);
    await pay(owner, world, { reference: "<b>" });
    const gateways = { TALLYSTICK_SMS_URL: gatewayUrl, TALLYSTICK_CHAT_URL: gatewayUrl };
    const secrets = { TALLYSTICK_SMS_SECRET: gatewaySecret, TALLYSTICK_CHAT_SECRET: gatewaySecret };
    await tell(taskConfig({ ...gateways, ...secrets }));
    const webhook = new Webhook(Buffer.from(gatewaySecret), { format: "raw" });
    const messages = received.map(
      ({ headers, body }) => webhook.verify(body, headers as Record<string, string>) as Record<string, string>,
    );
    const toAnn = messages.filter(({ to }) => to === world.ann.phone || to === world.ann.userId);
    expect(
      toAnn.map(({ channel, text, type }) => ({ channel, text, type })).sort((a) => (a.channel === "sms" ? 1 : -1)),
    ).toEqual([
      { channel: "chat", text: "Your payment of $12.34 was made (<b>).", type: "message.chat" },
      { channel: "sms", text: "Your payment of $12.34 was made (<b>).", type: "message.sms" },
    ]);
    expect(received.map(({ headers }) => headers["webhook-id"])).toEqual(messages.map(({ id }) => id));
  });

  test("a provider that fails is asked again later; one that refuses is not; none is none", async () => {
    await rule("payment.settled", "owner", ["sms", "chat"]);
    await pay(owner, world);
    const sms = taskConfig({ TALLYSTICK_SMS_URL: gatewayUrl, TALLYSTICK_SMS_SECRET: gatewaySecret });
    gatewayStatus = 503;
    await tell(sms);
    expect((await statuses(world.ann.userId)).sort()).toEqual([
      "payment.settled chat suppressed not_configured",
      "payment.settled sms queued The provider answered with status 503.",
    ]);
    gatewayStatus = 422;
    await hurry(owner, world.tenantId);
    await addJob(worker, "notifications/send_due");
    await runDueJobs(worker, sms);
    expect(await statuses(world.ann.userId)).toContain(
      "payment.settled sms failed The provider answered with status 422.",
    );
  });

  test("of transactions make the stream hold them", async () => {
    await db.withClient("owner", async (client) => {
      await client.query("select app_private.stream_transactions($1)", [world.tenantId]);
    });
    await rule("transaction.posted", "owner", ["in_app"]);
    await pay(owner, world);
    await tell();
    const rows = await notificationsOf(owner, world.tenantId, world.ann.userId);
    expect(rows.find(({ kind }) => kind === "transaction.posted")).toMatchObject({
      subject: "News from Acme & Sons",
      body: "A transaction was posted, also one that had been pending.",
    });
  });
});

describe("a mail server", () => {
  async function withServer(
    answer: () => Error | null,
    work: (url: string, seen: string[]) => Promise<void>,
  ): Promise<void> {
    const seen: string[] = [];
    const server = new SMTPServer({
      authOptional: true,
      disabledCommands: ["AUTH", "STARTTLS"],
      logger: false,
      onRcptTo: (_address, _session, callback) => callback(answer()),
      onData(stream, _session, callback) {
        let text = "";
        stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
        stream.on("end", () => {
          seen.push(text);
          callback();
        });
      },
    });
    server.on("error", () => undefined);
    const listening = server.listen(0, "127.0.0.1");
    await new Promise<void>((done) => void listening.once("listening", done));
    try {
      await work(`smtp://127.0.0.1:${(listening.address() as AddressInfo).port}`, seen);
    } finally {
      await new Promise<void>((done) => server.close(() => done()));
    }
  }

  const refusal = (responseCode: number): Error => Object.assign(new Error("no"), { responseCode });

  test("that is busy gets the mail later; what it says is not kept", async () => {
    let code: number | undefined = 451;
    await withServer(
      () => (code === undefined ? null : refusal(code)),
      async (url, seen) => {
        const busy = taskConfig({ ...settings, TALLYSTICK_SMTP_URL: url });
        await pay(owner, world);
        await tell(busy);
        const [mail] = (await notificationsOf(owner, world.tenantId, world.ann.userId)).filter(
          ({ channel }) => channel === "email",
        );
        expect(mail).toMatchObject({ status: "queued", attempts: 1 });
        expect(mail?.reason).toMatch(/^The mail server did not take it \(\w+ 451\)\.$/);
        const wait = (mail?.next_attempt_at?.getTime() ?? 0) - Date.now();
        expect(wait).toBeGreaterThan(15_000);
        expect(wait).toBeLessThan(50_000);
        code = undefined;
        await hurry(owner, world.tenantId);
        await addJob(worker, "notifications/send_due");
        await runDueJobs(worker, busy);
        expect(seen).toHaveLength(2);
        expect(await statuses(world.ann.userId)).toContain("payment.settled email sent");
      },
    );
  });

  test("that does not know the address is not asked again", async () => {
    await withServer(
      () => refusal(550),
      async (url) => {
        await pay(owner, world);
        await tell(taskConfig({ ...settings, TALLYSTICK_SMTP_URL: url }));
        expect((await statuses(world.ann.userId)).find((line) => line.includes("email"))).toMatch(/ failed .* 550/);
        const { rows: letters } = await owner.query(
          "select source, task, payload, reason, detail from app_public.dead_letters where tenant_id = $1",
          [world.tenantId],
        );
        expect(letters).toHaveLength(2);
        expect(letters[0]).toMatchObject({ source: "message", task: "notifications/retry", reason: "not_sent" });
        expect(JSON.stringify(letters)).not.toContain("@example.com");
        // Run again, as a person has decided to: now that the address is known it goes out.
        for (const { task, payload } of letters) {
          await worker.query("select graphile_worker.add_job($1, $2)", [task, JSON.stringify(payload)]);
        }
        await runDueJobs(worker, config);
        expect(mailsTo(world.ann.email)).toHaveLength(1);
      },
    );
  });

  test("without TLS is refused where TLS is required", async () => {
    await withServer(
      () => null,
      async (url, seen) => {
        await pay(owner, world);
        const strict = taskConfig({ ...settings, TALLYSTICK_SMTP_URL: url, TALLYSTICK_SMTP_ALLOW_PLAINTEXT: "false" });
        await tell(strict);
        expect(seen).toEqual([]);
        expect((await statuses(world.ann.userId)).find((line) => line.includes("email"))).toContain("queued");
      },
    );
  });
});

test("quiet hours hold up what can wait, and nothing else", async () => {
  const { tenantId, ann, bob } = world;
  const clock = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString().slice(11, 16);
  for (const { userId } of [ann, bob]) {
    const quiet =
      "insert into app_public.notification_profiles (tenant_id, user_id, quiet_from, quiet_to) values ($1, $2, $3, $4)";
    await owner.query(quiet, [
      tenantId,
      userId,
      ...(userId === ann.userId ? [clock(-1), clock(2)] : [clock(2), clock(3)]),
    ]);
  }
  const id = await pay(owner, world);
  await owner.query("select app_private.record_event($1, 'payment.failed', $2, $3)", [
    tenantId,
    id,
    { amount: "1234", currency: "USD" },
  ]);
  await tell();
  expect((await statuses(ann.userId)).sort()).toEqual([
    "payment.failed email sent",
    "payment.failed in_app delivered",
    "payment.settled email queued",
    "payment.settled in_app delivered",
  ]);
  const waiting = (await notificationsOf(owner, tenantId, ann.userId)).find(({ status }) => status === "queued");
  expect(waiting?.next_attempt_at?.toISOString().slice(11, 16)).toBe(clock(2));
  expect(mailsTo(bob.email)).toHaveLength(2);
});

test("attempts end after the twelfth, and the waits grow", async () => {
  await pay(owner, world);
  const nowhere = taskConfig({ ...settings, TALLYSTICK_SMTP_URL: "smtp://127.0.0.1:1" });
  await tell(nowhere);
  await owner.query("update app_public.notifications set attempts = 10 where tenant_id = $1 and channel = 'email'", [
    world.tenantId,
  ]);
  const again = async (): Promise<void> => {
    await hurry(owner, world.tenantId);
    await addJob(worker, "notifications/send_due");
    await runDueJobs(worker, nowhere);
  };
  await again();
  const [eleventh] = (await notificationsOf(owner, world.tenantId)).filter(({ channel }) => channel === "email");
  expect((eleventh?.next_attempt_at?.getTime() ?? 0) - Date.now()).toBeGreaterThan(5 * 3_600_000);
  await again();
  expect((await statuses(world.ann.userId)).find((line) => line.includes("email"))).toContain("failed");
});

describe("a worker", () => {
  const take = async (): Promise<DueMessage | undefined> =>
    (await worker.query<DueMessage>("select * from app_private.take_due_notification()")).rows[0];

  test("killed between sending and writing it down: the same mail goes out again, by the same name", async () => {
    await owner.query(
      `insert into app_public.notification_rules (tenant_id, kind, audience, channels)
       values ($1, 'payment.settled', 'owner', '{email}')`,
      [world.tenantId],
    );
    await pay(owner, world);
    await relayAll(worker);
    await worker.query("select app_private.fan_out_notifications()");
    const taken = await take();
    // It is sent, and the worker is gone: nobody else takes it before its lease is over.
    const others = [await take(), await take()];
    expect(others.map((one) => one?.message_id)).not.toContain(taken?.message_id);
    expect(others[1]).toBeUndefined();
    await hurry(owner, world.tenantId);
    const again = [await take(), await take()].find((one) => one?.message_id === taken?.message_id);
    expect(again).toMatchObject({ attempt: 2, items: taken?.items });
    // The first one was only slow: that it failed changes nothing, that it was sent does.
    const record = "select app_private.record_notification_failed($1, $2, $3, $4, true)";
    await worker.query(record, [world.tenantId, taken?.message_id, 1, "late"]);
    const status = async () =>
      (await owner.query("select status from app_public.notifications where message_id = $1", [taken?.message_id]))
        .rows;
    expect(await status()).toEqual([{ status: "queued" }]);
    await worker.query("select app_private.record_notification_sent($1, $2)", [world.tenantId, taken?.message_id]);
    expect(await status()).toEqual([{ status: "sent" }]);
    await worker.query(record, [world.tenantId, taken?.message_id, 2, "late"]);
    expect(await status()).toEqual([{ status: "sent" }]);
  });

  test("beside another: each event is told once, and each message sent once", async () => {
    for (let n = 0; n < 30; n += 1) await pay(owner, world, { reference: `P-${n}` });
    await relayAll(worker);
    const second = workerPool(db);
    await Promise.all([
      worker.query("select app_private.fan_out_notifications()"),
      second.query("select app_private.fan_out_notifications()"),
    ]);
    await worker.query("select app_private.fan_out_notifications()");
    for (const pool of [worker, second]) await addJob(pool, "notifications/send_due");
    await Promise.all([runDueJobs(worker, config), runDueJobs(second, config)]);
    for (const { userId, email } of [world.ann, world.bob]) {
      expect(
        (await notificationsOf(owner, world.tenantId, userId)).filter(({ channel }) => channel === "email"),
      ).toHaveLength(30);
      const ids = mailsTo(email).map((mail) => mail.email.messageId);
      expect(ids).toHaveLength(30);
      expect(new Set(ids).size).toBe(30);
    }
  });
});

describe("a digest", () => {
  beforeEach(async () => {
    await owner.query(
      "insert into app_public.notification_profiles (tenant_id, user_id, digest) values ($1, $2, 'hourly')",
      [world.tenantId, world.ann.userId],
    );
  });

  test("collects mails that can wait, and goes as one", async () => {
    for (const reference of ["<i>first</i>", "second"]) await pay(owner, world, { reference });
    await tell();
    expect(mailsTo(world.ann.email)).toEqual([]);
    expect(mailsTo(world.bob.email)).toHaveLength(2);
    const waiting = (await notificationsOf(owner, world.tenantId, world.ann.userId)).filter(
      (one) => one.channel === "email",
    );
    expect(new Set(waiting.map(({ digest_at }) => digest_at?.getTime())).size).toBe(1);
    expect((waiting[0]?.digest_at?.getTime() ?? 0) % 3_600_000).toBe(0);
    await hurry(owner, world.tenantId);
    await addJob(worker, "notifications/send_due");
    await runDueJobs(worker, config);
    const [mail, ...more] = mailsTo(world.ann.email);
    expect(more).toEqual([]);
    expect(mail?.email.subject).toBe("News from Acme & Sons");
    expect(mail?.email.text).toMatch(/- Payment made \(.+\): Your payment of \$12\.34 was made \(<i>first<\/i>\)\./);
    expect(mail?.email.text).toMatch(/- Payment made \(.+\): .+ \(second\)\./);
    expect(mail?.email.html).toContain("(&lt;i&gt;first&lt;&#x2F;i&gt;)");
    expect(await statuses(world.ann.userId)).not.toContain("payment.settled email queued");
  });

  test("is taken as one by one worker, and stays the same when it is taken again", async () => {
    for (let n = 0; n < 3; n += 1) await pay(owner, world);
    await relayAll(worker);
    await worker.query("select app_private.fan_out_notifications()");
    await owner.query("delete from app_public.notifications where tenant_id = $1 and digest_at is null", [
      world.tenantId,
    ]);
    await hurry(owner, world.tenantId);
    const takers = Array.from({ length: 4 }, () => db.pool("worker"));
    const taken = await Promise.all(
      takers.map(
        async (pool) => (await pool.query<DueMessage>("select * from app_private.take_due_notification()")).rows,
      ),
    );
    const messages = taken.flat();
    expect(messages.map(({ items }) => items?.length)).toEqual([3]);
    // One more comes meanwhile: it is for the next digest, and not for this one.
    await pay(owner, world);
    await relayAll(worker);
    await worker.query("select app_private.fan_out_notifications()");
    await owner.query("delete from app_public.notifications where tenant_id = $1 and digest_at is null", [
      world.tenantId,
    ]);
    await hurry(owner, world.tenantId);
    const again = [];
    for (let n = 0; n < 3; n += 1) {
      again.push(...(await worker.query<DueMessage>("select * from app_private.take_due_notification()")).rows);
    }
    expect(again.map(({ items }) => items?.length).sort()).toEqual([1, 3]);
    expect(again.map(({ message_id }) => message_id)).toContain(messages[0]?.message_id);
  });
});

test("what cannot be rendered of the words of a tenant is told in those that come with the ledger", async () => {
  const bad =
    "insert into app_public.notification_templates (tenant_id, kind, channel, language, subject, body) values ";
  await owner.query(`${bad} ($1, 'payment.settled', 'email', 'en', 'x', 'Hello {{#name}')`, [world.tenantId]);
  await owner.query(`${bad} ($1, 'payment.settled', 'in_app', 'en', 'x', '{{{reference}}} is not escaped')`, [
    world.tenantId,
  ]);
  await pay(owner, world, { reference: "R" });
  await tell();
  expect(mailsTo(world.ann.email)[0]?.email.subject).toBe("Payment made");
  expect((await notificationsOf(owner, world.tenantId, world.ann.userId)).find(({ body }) => body)?.body).toBe(
    "Your payment of $12.34 was made (R).",
  );
});

test("the words of the tenant are used, escaped, without a value that is not there", async () => {
  await owner.query(
    `insert into app_public.notification_templates (tenant_id, kind, channel, language, subject, body)
     values ($1, 'payment.settled', 'email', 'en', 'Paid {{reference}}',
       '<p title="{{reference}}">{{description}}!</p>')`,
    [world.tenantId],
  );
  const reference = `"><script>alert(1)</script>`;
  await pay(owner, world, { reference });
  await pay(owner, world, { reference: "Bcc: eve@example.com" });
  await tell();
  const mails = mailsTo(world.ann.email);
  const attacked = mails.find(({ email }) => email.subject?.includes("script"));
  expect(attacked?.email.html).toContain(
    '<p title="&quot;&gt;&lt;script&gt;alert(1)&lt;&#x2F;script&gt;">A payment settled: its money is posted.!</p>',
  );
  expect(mails.flatMap(({ recipients }) => recipients)).toEqual([world.ann.email, world.ann.email]);
});
