import { describe, expect, test } from "@jest/globals";
import { readExamples } from "../../support/examples.ts";
import { runDueJobs, workerPool } from "../../support/jobs.ts";
import { bootApi, type Caller } from "../api/_api.ts";

/** Runs the examples of a page in order, each as the one that its first line names, and the jobs after each. */
const api = await bootApi();
const worker = workerPool(api.db);

type Made = Record<string, { [key: string]: { id?: string } | null } | null>;

/** The ids that later examples need, by the placeholder: of what a mutation has made. */
function noteIds(ids: Map<string, string>, data: Made): void {
  const names: Record<string, string> = {
    paymentSchedule: "<schedule>",
    holidayCalendar: "<calendar>",
    plan: "<plan>",
    planSubscription: "<subscription>",
  };
  for (const payload of Object.values(data))
    for (const [name, placeholder] of Object.entries(names)) {
      const id = payload?.[name]?.id;
      if (id !== undefined) ids.set(placeholder, id);
    }
}

const first = { occursAt: "2031-01-31T08:00:00+00:00", dueAt: "2031-01-31T08:00:00+00:00" };
const second = { occursAt: "2031-02-28T08:00:00+00:00", dueAt: "2031-02-28T08:00:00+00:00" };
const third = { occursAt: "2031-03-31T07:00:00+00:00", dueAt: "2031-03-31T07:00:00+00:00" };
const lines = { lines: { nodes: [] } };

/** What the examples are answered, in their order. */
const expected: Record<string, object[]> = {
  "docs/how-to/schedule-payments.md": [
    { previewOccurrences: [first, second, third] },
    { schedulePayment: { paymentSchedule: { status: "ACTIVE", nextOccurrences: [first, second] } } },
    { createHolidayCalendar: {} },
    { addHolidays: { holidayCalendar: { holidays: { nodes: [{ observedOn: "2031-05-01" }] } } } },
    // May 1 is a Thursday.
    { previewOccurrences: [{ dueAt: "2031-05-02T08:00:00+00:00" }] },
    // Planned beyond the 45 days: the next one always is.
    { paymentSchedules: { nodes: [{ occurrences: { nodes: [{ number: 1, status: "PLANNED" }] } }] } },
    { pauseSchedule: { paymentSchedule: { status: "PAUSED" } } },
    { resumeSchedule: { paymentSchedule: { status: "ACTIVE" } } },
    { endSchedule: { paymentSchedule: { status: "ENDED" } } },
  ],
  "docs/how-to/bill-subscriptions.md": [
    { createPlan: { plan: { code: "gold", currencyCode: "USD" } } },
    { subscribe: { planSubscription: { status: "TRIALING" } } },
    { previewSubscriptionChange: { unusedAmount: "0", dueNow: "0", nextInvoiceAmount: "9000" } },
    { changeSubscription: { planSubscription: { quantity: 3, ...lines } } },
    { subscriptionInvoices: { nodes: [] } },
    { cancelSubscription: { planSubscription: { status: "TRIALING", cancelsAtPeriodEnd: true } } },
  ],
};

const { cash, sales, wallet } = api.books;
const pages = ["docs/how-to/schedule-payments.md", "docs/how-to/bill-subscriptions.md"];

describe.each(pages)("%s", (page) => {
  const ids = new Map([
    ["<cash>", cash],
    ["<sales>", sales],
    ["<wallet>", wallet],
  ]);
  const examples = readExamples(page);
  const answers: unknown[] = [];

  test("has examples", () => {
    expect(examples.length).toBeGreaterThan(5);
  });

  test.each(examples.map((example) => [example.line, example] as const))("line %i runs", async (_line, example) => {
    const role = /^# as the (teller|admin)\n/.exec(example.query)?.[1] as Caller["role"];
    expect(role).toBeDefined();
    const variables = example.variables.replace(/<\w+>/g, (placeholder) => ids.get(placeholder) ?? placeholder);
    const answer = await api.ask(example.query, JSON.parse(variables), { ...(role === undefined ? {} : { role }) });
    expect(answer.errors).toEqual([]);
    noteIds(ids, answer.data as Made);
    answers.push(answer.data);
    await runDueJobs(worker);
  });

  test("does what it says", () => {
    expect(answers).toMatchObject(expected[page] ?? []);
  });
});
