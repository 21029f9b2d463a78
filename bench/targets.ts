import { type Figure, format, median } from "./figures.ts";

/** One of the values that a target is about, as it is shown. */
interface Reached {
  text: string;
  isReached: boolean;
}

interface Target {
  what: string;
  reach: string;
  read: (find: Find) => Reached[];
}

/** The figures of a part whose names begin like this. */
type Find = (part: string, name: string) => Figure[];

const atLeast = (value: number | undefined, bound: number): Reached[] =>
  value === undefined ? [] : [{ text: value.toFixed(2), isReached: value >= bound }];

/** What the ledger is to reach: ratios of one run on two cores, load generator included. */
const targets: Target[] = [
  {
    what: "one at a time, 16 clients, uniform",
    reach: "≥ 1.0 × floor S",
    read: (find) => named(find, "sql", "one at a time, 16 clients, uniform").flatMap(({ ratio }) => atLeast(ratio, 1)),
  },
  {
    what: "batches of 1,000, Zipf",
    reach: "≥ 0.55 × floor B, ≥ 35,000/s",
    read: (find) =>
      named(find, "sql", "batches of 1,000, 2 clients, Zipf").flatMap(({ ratio, value }) => [
        ...atLeast(ratio, 0.55),
        { text: `${format(value)}/s`, isReached: value >= 35_000 },
      ]),
  },
  {
    what: "hot account, batches of 1,000: credited, debited by all",
    reach: "≥ 0.95 × uniform",
    read: (find) =>
      ["one credited by all", "one debited by all"].flatMap((shape) =>
        beside(find, `batches of 1,000, 2 clients, ${shape}`, "batches of 1,000, 2 clients, uniform", 0.95),
      ),
  },
  {
    what: "credited by all, one at a time, 64 clients",
    reach: "≥ 0.5 × uniform",
    read: (find) =>
      beside(find, "one at a time, 64 clients, one credited by all", "one at a time, 64 clients, uniform", 0.5),
  },
  {
    what: "GraphQL single mutation, 50 connections",
    reach: "≥ 1.5 × floor H, ≥ 5,000/s, p95 ≤ 25 ms",
    read: (find) =>
      named(find, "graphql", "one at a time, 50 connections, uniform").flatMap(({ ratio, value, p95 = Number.NaN }) => [
        ...atLeast(ratio, 1.5),
        { text: `${format(value)}/s`, isReached: value >= 5000 },
        { text: `${format(p95)} ms`, isReached: p95 <= 25 },
      ]),
  },
  {
    what: "GraphQL batches of 1,000",
    reach: "≥ 0.8 × the same over SQL",
    read: (find) =>
      named(find, "graphql", "batches of 1,000, 2 connections, uniform").flatMap(({ ratio }) => atLeast(ratio, 0.8)),
  },
  {
    what: "any balance and statement page with the large history, in the server",
    reach: "≤ 2 ms, flat in its size",
    read: (find) => {
      const large = ["an account", "balance", "statement"].flatMap((name) => find("growth", name));
      if (large.length === 0) return [];
      const slowest = Math.max(...large.map(({ value }) => value));
      const grown = large.flatMap(({ name, value }) => {
        // A page is deeper where there is more history.
        const [small] = find("reads", name.replace(/page [1-9][\d,]+$/, "page ")).slice(
          /page [1-9][\d,]+$/.test(name) ? -1 : 0,
        );
        return small === undefined ? [] : [value / small.value];
      });
      const times = grown.length === 0 ? "" : `, ${Math.max(...grown).toFixed(2)} × the small one at most`;
      return [{ text: `${format(slowest)} ms${times}`, isReached: slowest <= 2 }];
    },
  },
  {
    what: "posting beside the large history",
    reach: "≥ 0.9 × beside few",
    read: (find) => {
      const ratios = ["one at a time", "batches"].flatMap((name) =>
        find("growth", name).flatMap(({ ratio }) => (ratio === undefined ? [] : [ratio])),
      );
      return ratios.length === 0 ? [] : atLeast(Math.min(...ratios), 0.9);
    },
  },
  {
    what: "bytes of a transfer of two postings, indexes included",
    reach: "≤ 600",
    read: (find) =>
      find("storage", "on disk, tables and indexes").map(({ value }) => ({
        text: format(value),
        isReached: value <= 600,
      })),
  },
];

/** The figure of this very name, and none of those that add something to it. */
function named(find: Find, part: string, name: string): Figure[] {
  return find(part, name).filter((one) => one.name === name);
}

/** The median of what each round reached of another figure that took turns with it. */
function beside(find: Find, name: string, other: string, bound: number): Reached[] {
  const [one] = named(find, "sql", name);
  const [base] = named(find, "sql", other);
  if (!one || !base) return [];
  return atLeast(median(one.rounds.map((value, n) => value / (base.rounds[n] ?? Number.NaN))), bound);
}

/** The figures to reach beside what was reached; what was not measured is left open. */
export function targetTable(figures: Figure[]): string[] {
  const find: Find = (part, name) => figures.filter((one) => one.part === part && one.name.startsWith(name));
  const rows = targets.map(({ what, reach, read }) => {
    const values = read(find);
    const mark = values.length === 0 ? "" : values.every(({ isReached }) => isReached) ? "yes" : "no";
    return `| ${what} | ${reach} | ${values.map(({ text }) => text).join(", ")} | ${mark} |`;
  });
  return ["| what | to reach | reached | |", "| --- | --- | --- | --- |", ...rows];
}
