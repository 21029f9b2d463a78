import { RRuleTemporal } from "rrule-temporal";
import { Temporal } from "temporal-polyfill";

/** When something recurs: a rule of RFC 5545 that the database has let in, and what it is read with. */
export interface Recurrence {
  /** Null: once, at `startsAt`. */
  rule: string | null;
  /** A time zone of IANA. */
  timeZone: string;
  /** The first moment, in whole seconds, and in the time zone the time of day of those that follow. */
  startsAt: Date;
}

export interface Expansion {
  /** In rising order. */
  occurrences: Date[];
  /** Up to where these are all that there are. */
  plannedUntil: Date;
  /** Whether there are none after that. */
  isLast: boolean;
}

/** How many occurrences are worked out at once. */
const maxOccurrences = 1500;

const dayMs = 86_400_000;

/**
 * The occurrences of a rule after `from` and up to `to`; if there are none, the first one after that. Where
 * there are many, only the first of them: go on from `plannedUntil`. What a rule names that is not there, such
 * as February 30 or 2:30 in the night in which clocks go from 2 to 3, does not occur; of a time that is there
 * twice, the first is meant: so has it RFC 5545, section 3.3.10.
 */
export function expand(recurrence: Recurrence, from: Date, to: Date): Expansion {
  const rule = parse(recurrence);
  const occurrences = between(rule, from, to);
  if (occurrences.length === 0) {
    const next = firstAfter(rule, from);
    // What is far away is looked for once: after it the rule is asked again.
    return next === undefined
      ? { occurrences: [], plannedUntil: to > from ? to : from, isLast: true }
      : { occurrences: [next], plannedUntil: next, isLast: false };
  }
  const taken = occurrences.slice(0, maxOccurrences);
  const plannedUntil = taken.length < occurrences.length ? (taken.at(-1) ?? to) : to;
  return { occurrences: taken, plannedUntil, isLast: firstAfter(rule, plannedUntil) === undefined };
}

/** The next occurrences of a rule after a moment, up to a number of them and to an end, if there is one. */
export function nextOccurrences(recurrence: Recurrence, after: Date, count: number, endsAt?: Date | null): Date[] {
  const rule = parse(recurrence);
  const found: Date[] = [];
  let last = after;
  while (found.length < count) {
    const next = firstAfter(rule, last);
    if (next === undefined || (endsAt && next >= endsAt)) break;
    found.push(next);
    last = next;
  }
  return found;
}

type Rule = RRuleTemporal | { once: Date };

function parse({ rule, timeZone, startsAt }: Recurrence): Rule {
  if (rule === null) return { once: startsAt };
  const dtstart = Temporal.Instant.fromEpochMilliseconds(startsAt.getTime()).toZonedDateTimeISO(timeZone);
  return new RRuleTemporal({ rruleString: rule, dtstart, strict: true });
}

/** A window at a time, so that a rule that recurs hourly for years is not worked out as a whole. */
function between(rule: Rule, from: Date, to: Date): Date[] {
  if ("once" in rule) return rule.once > from && rule.once <= to ? [rule.once] : [];
  const found: Date[] = [];
  for (let start = from; start < to && found.length <= maxOccurrences; ) {
    const end = new Date(Math.min(start.getTime() + 60 * dayMs, to.getTime()));
    // Both ends count, and moments are whole seconds: the first is after the start.
    const first = new Date(start.getTime() + 1);
    found.push(...ending(() => rule.between(first, end, true).map(dateOf), []));
    start = end;
  }
  return found;
}

function firstAfter(rule: Rule, after: Date): Date | undefined {
  if ("once" in rule) return rule.once > after ? rule.once : undefined;
  return ending(() => {
    const next = rule.next(after, false);
    return next === null ? undefined : dateOf(next);
  }, undefined);
}

/** A rule that the library gives up on after 10,000 periods without an occurrence occurs no more. */
function ending<Result>(ask: () => Result, none: Result): Result {
  try {
    return ask();
  } catch (error) {
    if (error instanceof Error && /^Maximum iterations/.test(error.message)) return none;
    throw error;
  }
}

function dateOf({ epochMilliseconds }: { epochMilliseconds: number }): Date {
  return new Date(epochMilliseconds);
}
