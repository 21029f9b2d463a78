import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "@jest/globals";
import { pino } from "pino";
import { startSecurityLog, tellSecurityEvents } from "../../../src/security_log.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* Security events reach the log of the server by their severity, whoever recorded them, once. */
const db = await createTestDatabase();
const worker = db.pool("worker");

interface Line {
  level: number;
  msg: string;
  securityEvent: { id: string; severity: string; detail: { n: number } };
}

function makeLog(): { log: pino.Logger; lines: Line[] } {
  const lines: Line[] = [];
  return {
    log: pino({ level: "trace" }, { write: (line: string) => void lines.push(JSON.parse(line) as Line) }),
    lines,
  };
}

const record = (severity: string, n: number): Promise<unknown> =>
  db.withClient("owner", (client) =>
    client.query(
      "select app_private.record_security_event('permission_denied', $1, jsonb_build_object('n', $2::integer))",
      [severity, n],
    ),
  );

/** The horizon is that of the whole server, so what other tests have open may hold it back for a while. */
async function tellAll(log: pino.Logger, count: number): Promise<void> {
  let told = 0;
  for (let attempt = 0; attempt < 400 && told < count; attempt += 1) {
    told += await tellSecurityEvents(worker, log);
    if (told < count) await sleep(25);
  }
  expect(told).toBe(count);
}

test("each is told once, at the level of its severity", async () => {
  const severities = ["info", "notice", "warning", "critical"];
  for (const [n, severity] of severities.entries()) await record(severity, n);
  const { log, lines } = makeLog();
  await tellAll(log, 4);
  expect(lines.map(({ level, securityEvent }) => [level, securityEvent.severity])).toEqual([
    [30, "info"],
    [30, "notice"],
    [40, "warning"],
    [60, "critical"],
  ]);
  expect(lines[3]?.msg).toBe("security event: permission_denied");
  expect(await tellSecurityEvents(worker, log)).toBe(0);
});

test("one that commits late is not passed over", async () => {
  const { log, lines } = makeLog();
  await db.withClient("owner", async (late) => {
    await late.query("begin");
    await late.query("select app_private.record_security_event('permission_denied', 'info', '{\"n\": 10}')");
    await record("info", 11);
    expect(await tellSecurityEvents(worker, log)).toBe(0);
    await late.query("commit");
  });
  await tellAll(log, 2);
  expect(lines.map(({ securityEvent }) => securityEvent.detail.n)).toEqual([10, 11]);
});

test("those that a crash kept from the log come again", async () => {
  await record("warning", 20);
  const broken = pino(
    { level: "trace" },
    {
      write: () => {
        throw new Error("disk full");
      },
    },
  );
  await expect(async () => {
    for (;;) {
      await tellSecurityEvents(worker, broken);
      await sleep(25);
    }
  }).rejects.toThrow("disk full");
  const { log, lines } = makeLog();
  await tellAll(log, 1);
  expect(lines[0]?.securityEvent.detail.n).toBe(20);
});

test("several at once tell each once, until they are stopped", async () => {
  const { log, lines } = makeLog();
  const parts = [1, 2, 3].map(() => startSecurityLog({ pool: worker, log, idleMs: 5 }));
  for (let n = 30; n < 40; n += 1) await record("info", n);
  for (let attempt = 0; attempt < 400 && lines.length < 10; attempt += 1) await sleep(25);
  await Promise.all(parts.map((part) => part.stop()));
  expect(lines.map(({ securityEvent }) => securityEvent.detail.n)).toEqual([30, 31, 32, 33, 34, 35, 36, 37, 38, 39]);
});
