/**
 * Measures the ledger on a server of its own, each figure beside a floor of the same run. See docs/performance.md,
 * and `npm run bench -- --help`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type ScratchServer, withScratchServer } from "../scripts/scratch_server.ts";
import { projectRoot } from "../src/paths.ts";
import { withClient } from "../src/postgres/client.ts";
import { withUrl } from "../src/postgres/urls.ts";
import { type BenchOptions, type BenchServer, copyDatabase, mapUrls, type Part, withBench } from "./bench.ts";
import { addHistory, openBooks } from "./books.ts";
import type { Figure } from "./figures.ts";
import { graphql } from "./parts/graphql.ts";
import { growth } from "./parts/growth.ts";
import { guarantees } from "./parts/guarantees.ts";
import { importing } from "./parts/importing.ts";
import { limits } from "./parts/limits.ts";
import { profile } from "./parts/profile.ts";
import { reads } from "./parts/reads.ts";
import { sealing } from "./parts/sealing.ts";
import { sql } from "./parts/sql.ts";
import { storage } from "./parts/storage.ts";
import { asText, machine, type Report, readReport, writeReport } from "./report.ts";
import { targetTable } from "./targets.ts";

const parts: Record<string, { part: Part; about: string; isFullOnly?: boolean }> = {
  sql: { part: sql, about: "posting over SQL beside floors S and B: shapes, sizes, two phases, refusals" },
  graphql: { part: graphql, about: "posting through GraphQL beside floor H and beside SQL; reading; latencies" },
  reads: { part: reads, about: "balances, statements and reports of an account with a long history" },
  growth: { part: growth, about: "posting and reading beside a history of millions", isFullOnly: true },
  guarantees: { part: guarantees, about: "the same posting with one guarantee taken out" },
  storage: { part: storage, about: "bytes of a transfer on disk and in the write-ahead log, by table and index" },
  profile: { part: profile, about: "where the time of posting goes: functions, statements, waits", isFullOnly: true },
  limits: { part: limits, about: "what binds posting: steps between the floors and the ledger", isFullOnly: true },
  sealing: { part: sealing, about: "posting while a worker seals; sealing, verifying and proving" },
  importing: { part: importing, about: "a journal file, with the command-line tool" },
};

const { values } = parseArgs({
  options: {
    full: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    match: { type: "string", default: "" },
    seconds: { type: "string" },
    rounds: { type: "string", default: "3" },
    accounts: { type: "string", default: "100000" },
    postings: { type: "string" },
    seed: { type: "string", default: "1" },
    set: { type: "string", multiple: true, default: [] },
    name: { type: "string", multiple: true, default: [] },
    "fill-docs": { type: "boolean", default: false },
    results: { type: "string" },
    port: { type: "string" },
    data: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
const say = (message: string): void => void process.stderr.write(`${message}\n`);

if (values.help) {
  console.log(help());
} else if (values["fill-docs"]) {
  fillDocs();
} else {
  await run();
}

/**
 * Copies the figures that were reached from results, those of the full pass if no others are named, into the docs. Of
 * several results the later ones stand for the parts that they measured.
 */
function fillDocs(): void {
  const reports = (values.name.length > 0 ? values.name : ["full"]).map(readReport);
  const figures = reports.reduce<Figure[]>((known, { figures: later }) => {
    const measured = new Set(later.map(({ part }) => part));
    return [...known.filter(({ part }) => !measured.has(part)), ...later];
  }, []);
  const file = join(projectRoot, "docs/performance.md");
  const filled = readFileSync(file, "utf8").replace(
    /(<!-- figures -->\n).*?(\n<!-- end of figures -->)/s,
    (_all, begin: string, end: string) => `${begin}${targetTable(figures).join("\n")}${end}`,
  );
  writeFileSync(file, filled);
}

function help(): string {
  const names = Object.entries(parts).map(([name, { about }]) => `  ${name.padEnd(12)} ${about}`);
  return `Usage: npm run bench -- [options]

Measures a selection in less than five minutes, on an embedded server of its own with durable settings.

  --full           everything, which takes an hour or so
  --only NAME      one part; may be given several times
  --match REGEXP   only figures of such names, in parts that have many
  --seconds N      how long a round is (1; with --full 2)
  --rounds N       how many rounds the medians are of (3)
  --accounts N     accounts of the books (100000)
  --postings N     postings of the histories that are read (100000; with --full 10000000)
  --seed N         another seed draws other accounts (1)
  --set NAME=VALUE another setting of PostgreSQL; may be given several times
  --name NAME      of the files in bench/results (quick, full, or only-… with --only)
  --results DIR    another folder for them
  --fill-docs      copy what full.json, or those of --name, reached into docs/performance.md, and measure nothing
  --port N, --data DIR   for the server (any free port, a temporary folder)

Parts:
${names.join("\n")}`;
}

async function run(): Promise<void> {
  const options: BenchOptions = {
    full: values.full,
    seconds: number("seconds", values.seconds ?? (values.full ? "2" : "1")),
    rounds: number("rounds", values.rounds),
    accounts: number("accounts", values.accounts),
    postings: number("postings", values.postings ?? (values.full ? "10000000" : "100000")),
    seed: number("seed", values.seed),
    match: new RegExp(values.match),
  };
  const chosen = chooseParts();
  const serverSettings = Object.fromEntries(values.set.map(setting));
  // An orderly exit: the server and whatever else was started is stopped on the way out.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130));
  const figures: Figure[] = [];
  const started = performance.now();
  const progress = makeProgress(started);
  let postgres = "";
  try {
    progress("a server");
    const port = values.port === undefined ? undefined : number("port", values.port);
    const server = { profile: "durable" as const, port, dataDir: values.data, settings: serverSettings };
    await withScratchServer(server, async (scratch) => {
      const prepared = await prepare(scratch, options, progress);
      postgres = prepared.postgres;
      await withBench(prepared, options, progress, async (bench) => {
        for (const name of chosen) figures.push(...((await parts[name]?.part(bench)) ?? []));
      });
    });
    progress("done");
  } finally {
    // What was measured before a part failed is worth keeping.
    if (process.stderr.isTTY) say("");
    if (figures.length > 0) {
      const name =
        values.name[0] ?? (values.only.length > 0 ? `only-${chosen.join("-")}` : values.full ? "full" : "quick");
      const seconds = Math.round((performance.now() - started) / 1000);
      tell({
        name,
        at: new Date().toISOString(),
        machine: machine(postgres),
        options: { ...options, match: values.match, settings: serverSettings },
        seconds,
        figures,
      });
    }
  }
}

function tell(report: Report): void {
  console.log(asText(report.figures));
  console.log(`\n${targetTable(report.figures).join("\n")}`);
  for (const file of writeReport(report, values.results)) say(`Written: ${file}`);
}

/** On a terminal one line that changes, elsewhere a line each. */
function makeProgress(started: number): (what: string) => void {
  const { isTTY, columns } = process.stderr;
  return (what) => {
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    const line = `${seconds.padStart(5)} s  ${what}`;
    process.stderr.write(isTTY ? `\r\u001b[K${line.slice(0, columns)}` : `${line}\n`);
  };
}

/** Two databases with the same books: in one of them there is a short history. */
async function prepare(
  { server, createDatabase }: ScratchServer,
  { accounts, seed }: BenchOptions,
  progress: (what: string) => void,
): Promise<BenchServer & { postgres: string }> {
  progress("its schema");
  const empty = await createDatabase("bench_empty");
  progress(`${accounts.toLocaleString("en-US")} accounts`);
  const books = await openBooks(empty, "bench", accounts);
  await withClient(empty.superuser, async (client) => {
    await client.query(readFileSync(join(projectRoot, "bench/floors.sql"), "utf8"));
    await client.query("insert into floor.accounts (id) select generate_series(1, $1)", [books.accountIds.length]);
    await client.query("vacuum analyze");
  });
  progress("a short history");
  const template = mapUrls(empty, (url) => withUrl(url, { database: "bench_template" }));
  const postgres = await withClient(server.superuserUrl, async (client) => {
    await copyDatabase(client, "bench_empty", "bench_template");
    const { rows } = await client.query<{ server_version: string }>("show server_version");
    return rows[0]?.server_version ?? "";
  });
  await addHistory(template, books, seed);
  return { server, template, empty, books, postgres };
}

function chooseParts(): string[] {
  const unknown = values.only.find((name) => !(name in parts));
  if (unknown !== undefined) {
    say(`There is no part ${unknown}. There are: ${Object.keys(parts).join(", ")}.`);
    process.exit(2);
  }
  if (values.only.length > 0) return values.only;
  return Object.keys(parts).filter((name) => values.full || !parts[name]?.isFullOnly);
}

function setting(text: string): [name: string, value: string] {
  const [, name, value] = /^(\w+)=(.*)$/s.exec(text) ?? [];
  if (name !== undefined && value !== undefined) return [name, value];
  say("--set is to be NAME=VALUE, such as --set shared_buffers=1GB.");
  process.exit(2);
}

function number(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0) return value;
  say(`--${option} is to be a number above zero.`);
  process.exit(2);
}
