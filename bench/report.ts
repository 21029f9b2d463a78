import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../src/paths.ts";
import type { BenchOptions } from "./bench.ts";
import { type Figure, format } from "./figures.ts";
import { targetTable } from "./targets.ts";

export interface Report {
  name: string;
  at: string;
  machine: { cores: number; model: string; memoryGib: number; node: string; postgres: string };
  options: Omit<BenchOptions, "match"> & {
    match: string;
    /** Settings of PostgreSQL that are not those of src/postgres/settings.ts. */
    settings: Record<string, string>;
  };
  /** How long all of it took. */
  seconds: number;
  figures: Figure[];
}

export const resultsFolder = join(projectRoot, "bench/results");

export function machine(postgres: string): Report["machine"] {
  return {
    cores: cpus().length,
    model: cpus()[0]?.model.trim() ?? "unknown",
    memoryGib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    postgres,
  };
}

/** Writes the report into a folder, as JSON and as Markdown. */
export function writeReport(report: Report, folder = resultsFolder): string[] {
  mkdirSync(folder, { recursive: true });
  const files = ["json", "md"].map((ending) => join(folder, `${report.name}.${ending}`)) as [string, string];
  writeFileSync(files[0], `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(files[1], asMarkdown(report));
  return files;
}

/** A report that is kept in the repository. */
export function readReport(name: string): Report {
  return JSON.parse(readFileSync(join(resultsFolder, `${name}.json`), "utf8")) as Report;
}

export function asMarkdown(report: Report): string {
  const { machine: on, options } = report;
  const minutes = (report.seconds / 60).toFixed(0);
  const lines = [
    `# Bench: ${report.name}`,
    "",
    `${report.at.slice(0, 10)}; ${on.cores} cores (${on.model}), ${on.memoryGib} GiB; PostgreSQL ${on.postgres},`,
    `Node.js ${on.node}; database, API and clients on one machine. Medians of ${options.rounds} rounds of`,
    `${options.seconds} s, each beside its floor of the same round; ${minutes} minutes in all. See docs/performance.md`,
    "for what is measured and how.",
    "",
    ...targetTable(report.figures),
  ];
  for (const part of new Set(report.figures.map((figure) => figure.part))) {
    const rows = report.figures.filter((figure) => figure.part === part).map(cells);
    const used = headings.map((_, n) => rows.some((row) => row[n] !== ""));
    const line = (row: string[]): string => `| ${row.filter((_, n) => used[n]).join(" | ")} |`;
    lines.push("", `## ${part}`, "", line(headings), line(headings.map((_, n) => (n === 0 ? "---" : "---:"))));
    lines.push(...rows.map(line));
  }
  return `${lines.join("\n")}\n`;
}

/** The same for a terminal: columns under each other. */
export function asText(figures: Figure[]): string {
  const rows = figures.map((figure) => ({ part: figure.part, row: cells(figure) }));
  const used = headings.map((_, n) => rows.some(({ row }) => row[n] !== ""));
  const widths = headings.map((heading, n) => Math.max(heading.length, ...rows.map(({ row }) => row[n]?.length ?? 0)));
  const line = (row: string[]): string =>
    row
      .map((cell, n) => (n === 0 ? cell.padEnd(widths[n] ?? 0) : cell.padStart(widths[n] ?? 0)))
      .filter((_, n) => used[n])
      .join("  ")
      .trimEnd();
  const parts = [...new Set(figures.map(({ part }) => part))];
  return [
    line(headings),
    ...parts.flatMap((part) => ["", part, ...rows.filter((one) => one.part === part).map(({ row }) => line(row))]),
  ].join("\n");
}

const headings = [
  "what",
  "measured",
  "floor",
  "ratio",
  "p50 / p95 / p99 ms",
  "server µs",
  "of the floor",
  "API µs",
  "of the floor",
  "client",
];

function cells(figure: Figure): string[] {
  const { floor, ratio } = figure;
  return [
    figure.name,
    `${format(figure.value)} ${figure.unit}`,
    floor === undefined ? "" : `${format(floor.value)} (${floor.name})`,
    ratio === undefined ? "" : ratio.toFixed(2),
    figure.p50 === undefined ? "" : [figure.p50, figure.p95, figure.p99].map((one) => format(one ?? 0)).join(" / "),
    figure.serverCpu === undefined ? "" : format(figure.serverCpu),
    floor?.serverCpu === undefined ? "" : format(floor.serverCpu),
    figure.apiCpu === undefined ? "" : format(figure.apiCpu),
    floor?.apiCpu === undefined ? "" : format(floor.apiCpu),
    figure.clientCpu === undefined ? "" : `${(figure.clientCpu * 100).toFixed(0)} %`,
  ];
}
