import { expect, test } from "@jest/globals";
import { runChaos } from "../../../chaos/harness.ts";
import { createTestDatabase } from "../../support/test_database.ts";

const db = await createTestDatabase();
const tenMinutes = 600_000;

test(
  "2,000 payments settle once each while workers, the API, connections and the provider are killed 50 times",
  async () => {
    const said: string[] = [];
    const report = await runChaos({
      urls: db.urls,
      kills: 50,
      settlements: 2000,
      seed: 1,
      limitMs: tenMinutes - 60_000,
      say: (message) => void said.push(message),
    });
    // The last words tell how far it came, should it not have been far enough.
    expect({ differences: report.differences, said: report.differences.length > 0 ? said.slice(-5) : [] }).toEqual({
      differences: [],
      said: [],
    });
    expect(Object.values(report.kills).reduce((sum, count) => sum + count, 0)).toBe(50);
    for (const [victim, count] of Object.entries(report.kills)) expect([victim, count > 0]).toEqual([victim, true]);
  },
  tenMinutes,
);
