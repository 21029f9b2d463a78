/**
 * Measures posting and reading on a server of its own, each figure beside a floor of the same run:
 *   npm run bench -- [--seconds 2] [--rounds 3] [--accounts 10000] [--postings 1000000]
 * Durable settings (fsync and synchronous_commit on), every rule on. Writes bench/results/latest.{json,md}.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { withScratchServer } from "../scripts/scratch_server.ts";
import { projectRoot } from "../src/paths.ts";
import { withClient } from "../src/postgres/client.ts";
import { measureAccess } from "./access.ts";
import { measureImport } from "./importing.ts";
import { type Figure, measurePosting, openBooks } from "./posting.ts";
import { measureReading } from "./reading.ts";
import { measureSealing } from "./sealing.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "3" },
    accounts: { type: "string", default: "10000" },
    postings: { type: "string", default: "1000000" },
  },
});
const say = (message: string): void => void process.stderr.write(`${message}\n`);
const started = performance.now();
const progress = (name: string): void =>
  say(`${((performance.now() - started) / 1000).toFixed(0).padStart(4)} s  ${name}`);

const figures = await withScratchServer({ profile: "durable" }, async ({ createDatabase }) => {
  progress("a server, migrated");
  const urls = await createDatabase("bench");
  await withClient(urls.owner, (client) => client.query(readFileSync(join(projectRoot, "bench/floors.sql"), "utf8")));
  const accounts = Number(values.accounts);
  await withClient(urls.owner, (client) =>
    client.query("insert into floor.accounts (id) select generate_series(1, $1::integer)", [accounts]),
  );
  const shared = await openBooks(urls.owner, "bench", accounts);
  const own = [await openBooks(urls.owner, "bench-1", 1000), await openBooks(urls.owner, "bench-2", 1000)];
  const posting = await measurePosting([shared, ...own], {
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    progress,
  });
  const access = await measureAccess(urls, shared, {
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    progress,
  });
  const sealing = await measureSealing(urls, shared, {
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    progress,
  });
  progress("import of 10,000 transactions");
  const importing = await measureImport(urls.owner, 10_000);
  const reading = await measureReading(urls, Number(values.postings), progress);
  return [...posting, ...access, ...sealing, importing, ...reading];
});

const report = table(figures);
const folder = join(projectRoot, "bench/results");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "latest.md"), `${heading()}\n\n${report}\n`);
writeFileSync(join(folder, "latest.json"), `${JSON.stringify({ at: new Date(), figures }, null, 2)}\n`);
console.log(report);
say(`Written to bench/results/latest.md and latest.json.`);

function heading(): string {
  const day = new Date().toISOString().slice(0, 10);
  const cores = `${cpus().length} cores (${cpus()[0]?.model ?? "unknown"})`;
  return `# Bench\n\n${day}, ${cores}, client and server on one machine.`;
}

function table(rows: Figure[]): string {
  const lines = rows.map((row) => {
    const floor = row.floor === undefined ? "" : `${format(row.floor)} (${row.floorName})`;
    const ratio = row.floor === undefined ? "" : (row.value / row.floor).toFixed(2);
    return `| ${row.name} | ${format(row.value)} ${row.unit} | ${floor} | ${ratio} |`;
  });
  return ["| what | measured | floor | ratio |", "| --- | ---: | ---: | ---: |", ...lines].join("\n");
}

function format(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);
}
