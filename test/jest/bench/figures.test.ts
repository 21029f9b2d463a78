import { describe, expect, test } from "@jest/globals";
import { figureOf } from "../../../bench/figures.ts";
import { pairs, zipf } from "../../../bench/shapes.ts";
import { targetTable } from "../../../bench/targets.ts";
import { seededRandom } from "../../../src/random.ts";

describe("Zipf over a thousand accounts", () => {
  const draw = (seed: number): number[] => {
    const random = seededRandom(seed);
    const one = zipf(1000, 1);
    return Array.from({ length: 100_000 }, () => one(random));
  };

  test("draws the k-th with a probability in proportion to 1/k", () => {
    const counts = new Map<number, number>();
    for (const place of draw(1)) counts.set(place, (counts.get(place) ?? 0) + 1);
    const ranked = [...counts.values()].sort((one, other) => other - one);
    const harmonic = Array.from({ length: 1000 }, (_, n) => 1 / (n + 1)).reduce((sum, one) => sum + one, 0);
    for (const rank of [1, 2, 3, 10]) expect((ranked[rank - 1] ?? 0) / (100_000 / rank / harmonic)).toBeCloseTo(1, 0.9);
    expect(Math.max(...counts.keys())).toBeLessThan(1000);
  });

  test("draws the same again with the same seed", () => {
    expect(draw(2)).toEqual(draw(2));
    expect(draw(2)).not.toEqual(draw(3));
  });

  test("pays nobody by themselves", () => {
    const random = seededRandom(1);
    const pick = pairs(zipf(2, 1));
    for (let n = 0; n < 1000; n += 1) expect(new Set(pick(random)).size).toBe(2);
  });
});

test("a ratio is the median of what each round reached of the floor beside it", () => {
  // The machine was twice as fast in the second round.
  const rounds = [10, 22, 11].map((value) => ({ value }));
  const floors = [20, 40, 20].map((value) => ({ value }));
  const about = { part: "sql", name: "a load", unit: "transfers/s", floorName: "S" };
  expect(figureOf(about, rounds, floors)).toMatchObject({
    value: 11,
    rounds: [10, 22, 11],
    floor: { name: "S", value: 20 },
    ratio: 0.55,
  });
});

test("what GraphQL is to reach, one process reaches: the figure of two stands beside it", () => {
  const about = { part: "graphql", name: "one at a time, 50 connections, uniform", unit: "transfers/s" };
  const figures = [
    figureOf({ ...about, floorName: "H" }, [{ value: 5000, p95: 20 }], [{ value: 2500 }]),
    figureOf(
      { ...about, name: `${about.name}, 2 API processes`, floorName: "1 process" },
      [{ value: 1 }],
      [{ value: 1 }],
    ),
  ];
  const row = targetTable(figures).find((line) => line.startsWith("| GraphQL single mutation, 50 connections |"));
  expect(row).toMatch(/\| 2\.00, 5,000\/s, 20\.0 ms \| yes \|$/);
});

test("a target is about the figure of its very name", () => {
  const about = { part: "sql", unit: "transfers/s", floorName: "S" };
  const figure = (name: string, value: number) => figureOf({ ...about, name }, [{ value }], [{ value: 10 }]);
  const name = "one at a time, 16 clients, uniform";
  expect(targetTable([figure(`${name}, 4 postings`, 30), figure(name, 5)])).toContain(
    "| one at a time, 16 clients, uniform | ≥ 1.0 × floor S | 0.50 | no |",
  );
});
