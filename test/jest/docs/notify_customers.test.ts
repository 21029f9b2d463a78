import { beforeAll, describe, expect, test } from "@jest/globals";
import { settingNames } from "../../../src/config.ts";
import { readExamples } from "../../support/examples.ts";
import { runDueJobs, workerPool } from "../../support/jobs.ts";
import { makeProvider } from "../../support/payments.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { relayAll } from "../../support/relay.ts";
import { bootApi, type Caller, postMutation, transfer } from "../api/_api.ts";

/** Runs the examples of docs/how-to/notify-customers.md in order, each as the one that its first line names. */
const page = "docs/how-to/notify-customers.md";
const api = await bootApi();
const owner = api.db.pool("owner");
const examples = readExamples(page);
const answers: Record<string, unknown>[] = [];

beforeAll(async () => {
  const { books } = api;
  await api.get("{ currentTenant { name } }", {}, { role: "customer", user: books.customer });
  await makeProvider(owner, books.tenant);
  await api.get(postMutation, transfer(books.cash, books.wallet, "5000"));
  await owner.query(
    `select app_private.insert_payment(
       app_private.system_actor($1), jsonb_populate_record(null::app_public.payment_input, $2))`,
    [books.tenant, { kind: "transfer", account_id: books.wallet, to_account_id: books.sales, amount: 1234 }],
  );
  await relayAll(api.db.pool("worker"));
  await runDueJobs(workerPool(api.db));
});

test("there are examples", () => {
  expect(examples.length).toBeGreaterThan(8);
});

describe("the example", () => {
  test.each(examples.map((example) => [example.line, example] as const))("of line %i runs", async (_line, example) => {
    const role = /^# as the (customer|admin)\n/.exec(example.query)?.[1];
    const caller: Caller = role === "customer" ? { role, user: api.books.customer } : { role: "admin" };
    const answer = await api.ask(example.query, JSON.parse(example.variables), caller);
    expect(answer.errors).toEqual([]);
    answers.push(answer.data);
  });
});

test("they say what the page says", () => {
  const all = Object.assign({}, ...answers);
  expect(all.previewNotification).toEqual({
    subject: "€12.34 on its way",
    text: "Dear Ada Lovelace, we paid €12.34.",
    html: "<p>Dear Ada Lovelace, we paid €12.34.</p>",
  });
  expect(all.unreadNotificationCount).toBe(1);
  expect(all.ownNotifications.nodes).toMatchObject([{ kind: "payment.settled", subject: "Payment made" }]);
  expect(all.markNotificationsRead).toEqual({ count: 1 });
  expect(all.receipts.nodes).toMatchObject([
    { number: null, payment: { amountFormatted: "12.34", currencyCode: "USD" } },
  ]);
  expect(all.receipts.nodes[0].pdfSha256).toMatch(/^[0-9a-f]{64}$/);
});

test("the settings that the page names are those that there are", () => {
  const named = new Set(readProjectFile(page).match(/TALLYSTICK_\w+/g));
  expect([...named].filter((name) => !settingNames.includes(name))).toEqual([]);
});
