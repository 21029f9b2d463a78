/**
 * Measures the ledger on a server of its own, each figure beside a floor of the same run. See docs/performance.md,
 * and `npm run bench -- --help`.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { withScratchServer } from "../scripts/scratch_server.ts";
import { projectRoot } from "../src/paths.ts";
import { withClient } from "../src/postgres/client.ts";
import { withUrl } from "../src/postgres/urls.ts";
import { type BenchOptions, copyDatabase, mapUrls, type Part, withBench } from "./bench.ts";
import { addHistory, openBooks } from "./books.ts";
import type { Figure } from "./figures.ts";
import { graphql } from "./parts/graphql.ts";
import { importing } from "./parts/importing.ts";
import { profile } from "./parts/profile.ts";
import { reads } from "./parts/reads.ts";
import { sealing } from "./parts/sealing.ts";
import { sql } from "./parts/sql.ts";
import { storage } from "./parts/storage.ts";
import { asText, machine, type Report, writeReport } from "./report.ts";

const parts: Record<string, { part: Part; about: string; isFullOnly?: boolean }> = {
  sql: { part: sql, about: "posting over SQL beside floors S and B: shapes, sizes, two phases, refusals" },
  graphql: { part: graphql, about: "posting through GraphQL beside floor H and beside SQL, with its latencies" },
  reads: { part: reads, about: "balances, statements and reports of an account with a long history" },
  storage: { part: storage, about: "bytes of a transfer on disk and in the write-ahead log, by table and index" },
  profile: { part: profile, about: "where the time of posting goes: functions, statements, waits", isFullOnly: true },
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
    name: { type: "string" },
    results: { type: "string" },
    port: { type: "string" },
    data: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
const say = (message: string): void => void process.stderr.write(`${message}\n`);

if (values.help) {
  console.log(help());
} else {
  await run();
}

function help(): string {
  const names = Object.entries(parts).map(([name, { about }]) => `  ${name.padEnd(12)} ${about}`);
  return `Usage: npm run bench -- [options]

Measures a selection in less than five minutes, on an embedded server of its own with durable settings.

  --full           everything, which takes an hour or so
  --only NAME      one part; may be given several times
  --match TEXT     only figures whose names contain this, in parts that have many
  --seconds N      how long a round is (1; with --full 2)
  --rounds N       how many rounds the medians are of (3)
  --accounts N     accounts of the books (100000)
  --postings N     postings of the histories that are read (100000; with --full 10000000)
  --seed N         another seed draws other accounts (1)
  --name NAME      of the files in bench/results (quick, full, or only-… with --only)
  --results DIR    another folder for them
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
    match: values.match,
  };
  const chosen = chooseParts();
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  const progress = (what: string): void => {
    const line = `${elapsed().toFixed(0).padStart(5)} s  ${what}`;
    process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${line.slice(0, process.stderr.columns)}` : `${line}\n`);
  };
  progress("a server");
  const server = {
    profile: "durable" as const,
    port: values.port === undefined ? undefined : Number(values.port),
    dataDir: values.data,
  };
  const { figures, version } = await withScratchServer(server, async ({ server: running, createDatabase }) => {
    progress("its schema");
    const empty = await createDatabase("bench_empty");
    progress(`${options.accounts.toLocaleString("en-US")} accounts`);
    const books = await openBooks(empty, "bench", options.accounts);
    await withClient(empty.superuser, async (client) => {
      await client.query(readFileSync(join(projectRoot, "bench/floors.sql"), "utf8"));
      await client.query("insert into floor.accounts (id) select generate_series(1, $1)", [books.accountIds.length]);
      await client.query("vacuum analyze");
    });
    progress("a short history");
    const template = mapUrls(empty, (url) => withUrl(url, { database: "bench_template" }));
    const postgres = await withClient(running.superuserUrl, async (client) => {
      await copyDatabase(client, "bench_empty", "bench_template");
      const { rows } = await client.query<{ server_version: string }>("show server_version");
      return rows[0]?.server_version ?? "";
    });
    await addHistory(template, books, options.seed);
    const all: Figure[] = [];
    await withBench({ server: running, template, empty, books }, options, progress, async (bench) => {
      for (const name of chosen) all.push(...((await parts[name]?.part(bench)) ?? []));
    });
    return { figures: all, version: postgres };
  });
  progress("done");
  if (process.stderr.isTTY) say("");
  console.log(asText(figures));
  const report: Report = {
    name: values.name ?? (values.only.length > 0 ? `only-${chosen.join("-")}` : values.full ? "full" : "quick"),
    at: new Date().toISOString(),
    machine: machine(version),
    options,
    seconds: Math.round(elapsed()),
    figures,
  };
  for (const file of writeReport(report, values.results)) say(`Written: ${file}`);
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

function number(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0) return value;
  say(`--${option} is to be a number above zero.`);
  process.exit(2);
}
