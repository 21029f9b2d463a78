import { open } from "node:fs/promises";
import { dirname } from "node:path";
import type pg from "pg";

export type Destination = "file" | "webhook";

/** The part of a job's helpers that is needed. */
export interface Queries {
  query<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<pg.QueryResult<R>>;
}

const batchSize = 1000;
const timeoutMs = 15_000;

/**
 * Tells a destination the heads that it has not been told of, and records that it was. Told first: a crash in
 * between tells it twice, never not at all.
 */
export async function publishAnchors(
  { query }: Queries,
  destination: Destination,
  tell: (anchors: object[]) => Promise<void>,
): Promise<void> {
  for (;;) {
    const { rows } = await query<{ anchor: object }>(
      "select anchor from app_private.unanchored_heads($1, $2) as anchor",
      [destination, batchSize],
    );
    const anchors = rows.map(({ anchor }) => anchor);
    if (anchors.length === 0) return;
    await tell(anchors);
    await query("select app_private.record_anchors($1, $2)", [destination, JSON.stringify(anchors)]);
    if (anchors.length < batchSize) return;
  }
}

/**
 * Appends anchors to a file, one JSON object a line, and returns when they are on the disk. All lines go in one
 * write, so that two workers do not mix theirs; a line that a crash left half written is ended first.
 */
export async function appendAnchors(path: string, anchors: object[]): Promise<void> {
  const file = await open(path, "a+");
  try {
    const { size } = await file.stat();
    const last = Buffer.alloc(1);
    const isTorn = size > 0 && (await file.read(last, 0, 1, size - 1)).bytesRead === 1 && last.toString() !== "\n";
    const lines = anchors.map((anchor) => `${JSON.stringify(anchor)}\n`).join("");
    await file.appendFile(`${isTorn ? "\n" : ""}${lines}`);
    await file.sync();
    // A file that was just made is lost in a crash unless its directory is written too.
    if (size === 0) await syncDirectory(dirname(path));
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Posts anchors to a webhook: `{"anchors": […]}`. Any answer but a success is an error. */
export async function postAnchors(url: string, anchors: object[], signal?: AbortSignal): Promise<void> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ anchors }),
    redirect: "error",
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`The webhook for anchors answered ${response.status}.`);
}
