import { describe, expect, test } from "@jest/globals";
import { expand, nextOccurrences, type Recurrence } from "../../../src/schedules/recurrence.ts";

const at = (text: string): Date => new Date(text);
const iso = (dates: Date[]): string[] => dates.map((date) => date.toISOString().replace(".000Z", "Z"));
const next = (rule: string, timeZone: string, startsAt: string, count: number, after = startsAt): string[] =>
  iso(nextOccurrences({ rule, timeZone, startsAt: at(startsAt) }, new Date(at(after).getTime() - 1), count));

describe("over a change of the clocks", () => {
  test("a daily time keeps its place on the clock", () => {
    expect(next("FREQ=DAILY", "Europe/Berlin", "2026-03-28T08:00:00Z", 3)).toEqual([
      "2026-03-28T08:00:00Z",
      "2026-03-29T07:00:00Z",
      "2026-03-30T07:00:00Z",
    ]);
    expect(next("FREQ=DAILY", "America/New_York", "2026-10-31T13:00:00Z", 3)).toEqual([
      "2026-10-31T13:00:00Z",
      "2026-11-01T14:00:00Z",
      "2026-11-02T14:00:00Z",
    ]);
    // Half an hour.
    expect(next("FREQ=DAILY", "Australia/Lord_Howe", "2026-04-03T22:00:00Z", 3)).toEqual([
      "2026-04-03T22:00:00Z",
      "2026-04-04T22:30:00Z",
      "2026-04-05T22:30:00Z",
    ]);
  });

  test("a time that is not there does not occur, and shifts none that follow", () => {
    expect(next("FREQ=DAILY", "Europe/Berlin", "2026-03-28T01:30:00Z", 3)).toEqual([
      "2026-03-28T01:30:00Z",
      "2026-03-30T00:30:00Z",
      "2026-03-31T00:30:00Z",
    ]);
    expect(next("FREQ=DAILY;COUNT=2", "Europe/Berlin", "2026-03-28T01:30:00Z", 9)).toHaveLength(2);
  });

  test("of a time that is there twice, the first is meant", () => {
    expect(next("FREQ=DAILY", "Europe/Berlin", "2026-10-24T00:30:00Z", 3)).toEqual([
      "2026-10-24T00:30:00Z",
      "2026-10-25T00:30:00Z",
      "2026-10-26T01:30:00Z",
    ]);
  });

  test("hours go on by the hour", () => {
    expect(next("FREQ=HOURLY", "Europe/Berlin", "2026-03-28T23:00:00Z", 4)).toEqual([
      "2026-03-28T23:00:00Z",
      "2026-03-29T00:00:00Z",
      "2026-03-29T01:00:00Z",
      "2026-03-29T02:00:00Z",
    ]);
  });
});

describe("ends of months", () => {
  test("the last day, the 31st where there is one, the last workday", () => {
    const from = "2026-01-31T12:00:00Z";
    const days = (rule: string): string[] => next(rule, "UTC", from, 4).map((text) => text.slice(5, 10));
    expect(days("FREQ=MONTHLY;BYMONTHDAY=-1")).toEqual(["01-31", "02-28", "03-31", "04-30"]);
    expect(days("FREQ=MONTHLY")).toEqual(["01-31", "03-31", "05-31", "07-31"]);
    expect(days("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1")).toEqual(["02-27", "03-31", "04-30", "05-29"]);
  });

  test("February 29 is every fourth year, and not in 2100", () => {
    expect(
      next("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "UTC", "2092-02-29T00:00:00Z", 4).map((text) => text.slice(0, 4)),
    ).toEqual(["2092", "2096", "2104", "2108"]);
  });
});

describe("the plan", () => {
  const daily: Recurrence = { rule: "FREQ=DAILY", timeZone: "UTC", startsAt: at("2026-01-01T12:00:00Z") };

  test("begins after its start and ends with its end", () => {
    const { occurrences, plannedUntil, isLast } = expand(daily, at("2026-01-02T12:00:00Z"), at("2026-01-04T12:00:00Z"));
    expect(iso(occurrences)).toEqual(["2026-01-03T12:00:00Z", "2026-01-04T12:00:00Z"]);
    expect([iso([plannedUntil]), isLast]).toEqual([["2026-01-04T12:00:00Z"], false]);
  });

  test("reaches the next occurrence, however far away", () => {
    const yearly = { ...daily, rule: "FREQ=YEARLY;INTERVAL=3" };
    const { occurrences, plannedUntil, isLast } = expand(yearly, daily.startsAt, at("2026-02-01T00:00:00Z"));
    expect(iso(occurrences)).toEqual(["2029-01-01T12:00:00Z"]);
    expect([plannedUntil, isLast]).toEqual([occurrences[0], false]);
  });

  test("is in parts where it is long, without a gap", () => {
    const hourly = { ...daily, rule: "FREQ=HOURLY;COUNT=4000" };
    const all: Date[] = [];
    let from = new Date(daily.startsAt.getTime() - 1000);
    for (let isLast = false; !isLast; ) {
      const part = expand(hourly, from, at("2027-01-01T00:00:00Z"));
      all.push(...part.occurrences);
      ({ plannedUntil: from, isLast } = part);
    }
    expect(all).toEqual(Array.from({ length: 4000 }, (_, n) => new Date(daily.startsAt.getTime() + n * 3_600_000)));
  });

  test.each(["FREQ=DAILY;COUNT=2", "FREQ=DAILY;UNTIL=20260102T120000Z"])("of %s knows its end", (rule) => {
    const before = new Date(daily.startsAt.getTime() - 1000);
    const { occurrences, isLast } = expand({ ...daily, rule }, before, at("2026-02-01T00:00:00Z"));
    expect([occurrences.length, isLast]).toEqual([2, true]);
  });

  test("of what never occurs is empty and has ended", () => {
    const never = { ...daily, rule: "FREQ=MONTHLY;BYDAY=1MO;BYMONTHDAY=20" };
    const to = at("2026-02-01T00:00:00Z");
    expect(expand(never, daily.startsAt, to)).toEqual({ occurrences: [], plannedUntil: to, isLast: true });
  });
});

/* A slow walk that knows nothing of recurrence: day by day, with the local times that Intl tells. */

interface Wall {
  year: number;
  month: number;
  day: number;
  time: string;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function wallOf(instant: number, timeZone: string): Wall {
  const format =
    formats.get(timeZone) ??
    new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
  formats.set(timeZone, format);
  const part = Object.fromEntries(format.formatToParts(instant).map(({ type, value }) => [type, value]));
  return {
    year: Number(part["year"]),
    month: Number(part["month"]),
    day: Number(part["day"]),
    time: `${part["hour"]}:${part["minute"]}:${part["second"]}`,
  };
}

/** The first instant with this local time, of all that there are around it, a minute at a time. */
function instantOf(day: Date, time: string, timeZone: string): number | undefined {
  const wanted = { year: day.getUTCFullYear(), month: day.getUTCMonth() + 1, day: day.getUTCDate(), time };
  const [hour = 0, minute = 0] = time.split(":").map(Number);
  const asIfUtc = day.getTime() + (hour * 60 + minute) * 60_000;
  for (let offset = 14 * 60; offset >= -12 * 60; offset -= 30) {
    const instant = asIfUtc - offset * 60_000;
    if (JSON.stringify(wallOf(instant, timeZone)) === JSON.stringify(wanted)) return instant;
  }
  return undefined;
}

type Fits = (day: Date, start: Date) => boolean;

function walk(fits: Fits, start: Date, time: string, timeZone: string, days: number): string[] {
  const found: Date[] = [];
  for (let n = 0; n < days; n += 1) {
    const day = new Date(start.getTime() + n * 86_400_000);
    const instant = fits(day, start) ? instantOf(day, time, timeZone) : undefined;
    if (instant !== undefined) found.push(new Date(instant));
  }
  return iso(found);
}

const weekdays = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];
const daysSince = (day: Date, start: Date): number => Math.round((day.getTime() - start.getTime()) / 86_400_000);
const monthsSince = (day: Date, start: Date): number =>
  (day.getUTCFullYear() - start.getUTCFullYear()) * 12 + day.getUTCMonth() - start.getUTCMonth();
const weekOf = (day: Date): number => Math.floor((day.getTime() / 86_400_000 + 3) / 7);
const lastDayOf = (day: Date): number =>
  new Date(Date.UTC(day.getUTCFullYear(), day.getUTCMonth() + 1, 0)).getUTCDate();

/** Numbers that are always the same for a seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A rule and what it says about a day, told in another way. */
function anyRule(pick: <T>(from: readonly T[]) => T, start: Date): [rule: string, fits: Fits] {
  const interval = pick([1, 1, 2, 3, 5]);
  const day = pick([1, 15, 28, 29, 30, 31]);
  const [one = "MO", two = "TU"] = [pick(weekdays), pick(weekdays)];
  const isOn = (date: Date): boolean => [one, two].includes(weekdays[date.getUTCDay()] ?? "");
  return pick<[string, Fits]>([
    [`FREQ=DAILY;INTERVAL=${interval}`, (date) => daysSince(date, start) % interval === 0],
    [
      `FREQ=WEEKLY;INTERVAL=${interval};BYDAY=${one},${two}`,
      (date) => (weekOf(date) - weekOf(start)) % interval === 0 && isOn(date),
    ],
    [
      `FREQ=MONTHLY;INTERVAL=${interval};BYMONTHDAY=${day}`,
      (date) => monthsSince(date, start) % interval === 0 && date.getUTCDate() === day,
    ],
    [
      `FREQ=MONTHLY;INTERVAL=${interval};BYMONTHDAY=-1`,
      (date) => monthsSince(date, start) % interval === 0 && date.getUTCDate() === lastDayOf(date),
    ],
    [
      `FREQ=MONTHLY;INTERVAL=${interval};BYDAY=2${one}`,
      (date) =>
        monthsSince(date, start) % interval === 0 &&
        weekdays[date.getUTCDay()] === one &&
        Math.ceil(date.getUTCDate() / 7) === 2,
    ],
  ]);
}

describe("is what a slow walk through the calendar finds", () => {
  const zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] as const;
  const cases = Array.from({ length: 60 }, (_, seed) => seed);

  test.each(cases)("for rule %i of random ones", (seed) => {
    const number = random(seed + 1);
    for (let n = 0; n < 5; n += 1) number();
    const pick = <T>(from: readonly T[]): T => from[Math.floor(number() * from.length)] as T;
    const timeZone = pick(zones);
    const start = new Date(Date.UTC(2026, Math.floor(number() * 12), 1 + Math.floor(number() * 28)));
    // Most of them in the hours in which clocks change.
    const time = pick(["01:30:00", "01:45:00", "02:00:00", "02:15:00", "02:30:00", "12:00:00"]);
    const [rule, fits] = anyRule(pick, start);
    const startsAt = instantOf(start, time, timeZone);
    if (startsAt === undefined) return;
    const walked = walk(fits, start, time, timeZone, 500);
    const recurrence = { rule, timeZone, startsAt: new Date(startsAt) };
    const found = nextOccurrences(recurrence, new Date(startsAt - 1), walked.length);
    const planned = expand(recurrence, new Date(startsAt - 1), new Date(walked.at(-1) ?? startsAt));
    expect([rule, timeZone, time, iso(found)]).toEqual([rule, timeZone, time, walked]);
    expect(iso(planned.occurrences)).toEqual(walked);
  });
});
