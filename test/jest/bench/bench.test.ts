import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import type { Figure } from "../../../bench/figures.ts";
import type { Report } from "../../../bench/report.ts";
import { projectRoot } from "../../../src/paths.ts";

const folder = mkdtempSync(join(tmpdir(), "tallystick-bench-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function bench(...options: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ["bench/run.ts", ...options], {
    cwd: projectRoot,
    encoding: "utf8",
    timeout: 300_000,
  });
}

test("the bench runs in small, and its report has every figure beside its floor", () => {
  const parts = ["sql", "graphql", "reads", "guarantees", "storage"];
  const { status, stdout, stderr } = bench(
    ...parts.flatMap((part) => ["--only", part]),
    ...["--match", "^(batches of 1,000, 2 c\\w+, (uniform(|, without audit)|Zipf)|.*balance|one at a time, 1 .*)$"],
    ...["--seconds", "0.05", "--rounds", "1", "--accounts", "300", "--postings", "2000"],
    ...["--name", "small", "--results", folder],
  );
  expect(status === 0 ? "" : stderr).toBe("");
  const report = JSON.parse(readFileSync(join(folder, "small.json"), "utf8")) as Report;
  expect(report).toMatchObject({
    name: "small",
    options: { rounds: 1, accounts: 300 },
    machine: { cores: expect.any(Number) },
  });
  expect([...new Set(report.figures.map((figure) => figure.part))]).toEqual(parts);
  for (const figure of report.figures) {
    expect(figure).toMatchObject({ name: expect.any(String), unit: expect.any(String), rounds: expect.any(Array) });
    expect(figure.value).toBeGreaterThan(0);
  }
  const beside = ({ name, floor }: Figure): string => `${name} / ${floor?.name}`;
  const ofParts = (...names: string[]): Figure[] => report.figures.filter(({ part }) => names.includes(part));
  expect(ofParts("sql").map(beside)).toEqual([
    "one at a time, 1 client, uniform / S",
    "batches of 1,000, 2 clients, uniform / B",
    "batches of 1,000, 2 clients, Zipf / B",
  ]);
  expect(ofParts("graphql").map(beside)).toEqual([
    "one at a time, 1 connection, uniform / H",
    "batches of 1,000, 2 connections, uniform / SQL",
    "an account with its balance, 10 connections / undefined",
  ]);
  expect(ofParts("guarantees").map(beside)).toEqual(["batches of 1,000, 2 clients, uniform, without audit / with all"]);
  for (const figure of report.figures.filter(({ floor }) => floor !== undefined)) {
    expect(figure).toMatchObject({ ratio: expect.any(Number), p50: expect.any(Number), p99: expect.any(Number) });
    expect(figure.ratio).toBeCloseTo(figure.value / (figure.floor?.value ?? 0));
  }
  // The part that is the whole of others is their sum, but for what is too small to be shown.
  const onDisk = ofParts("storage").filter(({ name }) => name.startsWith("on disk, "));
  const [whole, ...relations] = onDisk.map(({ value }) => value) as [number, ...number[]];
  expect(relations.reduce((sum, value) => sum + value, 0) / whole).toBeGreaterThan(0.9);
  expect(readFileSync(join(folder, "small.md"), "utf8")).toContain("| batches of 1,000, 2 clients, Zipf |");
  expect(stdout).toContain("| batches of 1,000, Zipf | ≥ 0.55 × floor B");
}, 300_000);

test("steps between a floor and the ledger, and the least bytes of a transfer", () => {
  const { status, stderr } = bench(
    ...["--only", "limits", "--match", "^(one at a time, 1 client: |batches of 1,000: .*own|bytes of a transfer)"],
    ...["--seconds", "0.05", "--rounds", "1", "--accounts", "300", "--postings", "2000"],
    ...["--name", "limits", "--results", folder],
  );
  expect(status === 0 ? "" : stderr).toBe("");
  const { figures } = JSON.parse(readFileSync(join(folder, "limits.json"), "utf8")) as Report;
  const ladder = (what: string): string[] =>
    figures.filter(({ name }) => name.startsWith(what)).map(({ name, floor }) => `${name} / ${floor?.name}`);
  expect(ladder("one at a time")).toEqual([
    "one at a time, 1 client: floor S / undefined",
    "one at a time, 1 client: floor R, the rows of the ledger / S",
    "one at a time, 1 client: who acts, and nothing else / S",
    "one at a time, 1 client: the ledger / S",
  ]);
  expect(ladder("batches")).toEqual([
    "batches of 1,000: floor B, 2 clients / undefined",
    "batches of 1,000: the ledger, 2 clients in books of their own / B",
    "batches of 1,000: the ledger, 2 clients in books of their own, no keys / B",
  ]);
  // The least is one: a relation that is written without a gap takes no less, and hardly more.
  const packed = figures.filter(({ name }) => name.endsWith("without a gap"));
  expect(packed.length).toBeGreaterThan(5);
  for (const { ratio } of packed) {
    expect(ratio).toBeGreaterThanOrEqual(1);
    expect(ratio).toBeLessThan(1.06);
  }
}, 300_000);

test("the bench says what it can do, and what it does not know", () => {
  expect(bench("--help").stdout).toContain("growth");
  expect(bench("--only", "everything")).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("There are: sql,"),
  });
  expect(bench("--rounds", "none")).toMatchObject({ status: 2 });
});
