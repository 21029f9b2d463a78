import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { z } from "zod";
import type { TenantLedger } from "./ledger.ts";
import { CommandError, say } from "./output.ts";

const anchorForm = z.object({
  format: z.literal("tallystick.anchor.v1"),
  // Null for what belongs to no tenant.
  tenant: z.string().nullable(),
  stream: z.string(),
  chainId: z.uuid(),
  number: z.int().positive().max(2_147_483_647),
  blockHash: z.string(),
});
type Anchor = z.infer<typeof anchorForm>;

export interface AnchorComparison {
  /** How many anchors of the file are of the tenant. */
  compared: number;
  /** Those that the blocks of the tenant contradict. */
  differing: Record<string, unknown>[];
}

/** Compares the blocks of a tenant with a file of anchors. */
export async function compareAnchors({ client }: TenantLedger, path: string): Promise<AnchorComparison> {
  const result: AnchorComparison = { compared: 0, differing: [] };
  for await (const anchors of readAnchors(path)) {
    const { rows } = await client.query<Record<string, unknown>>("select * from app_hidden.compared_anchors($1)", [
      JSON.stringify(anchors),
    ]);
    result.compared += rows.length;
    result.differing.push(...rows.filter(({ problem }) => problem !== null));
  }
  // A file that says nothing about these books must not pass for one that agrees.
  if (result.compared === 0) result.differing.push({ problem: "the file has no anchor of this tenant" });
  return result;
}

/** The anchors of a file, some at a time. A line that is none, such as a crash leaves half written, is told. */
async function* readAnchors(path: string): AsyncGenerator<Anchor[]> {
  let anchors: Anchor[] = [];
  let number = 0;
  for await (const line of readLines(path)) {
    number += 1;
    if (line.trim() === "") continue;
    const anchor = anchorForm.safeParse(parseJson(line)).data;
    if (anchor) anchors.push(anchor);
    else say(`Line ${number} of ${path} is no anchor, and was passed over.`);
    if (anchors.length === 5_000) {
      yield anchors;
      anchors = [];
    }
  }
  yield anchors;
}

async function* readLines(path: string): AsyncGenerator<string> {
  const input = createReadStream(path);
  const failed = new Promise<never>((_done, fail) => input.on("error", fail));
  failed.catch(() => undefined);
  try {
    await Promise.race([new Promise((done) => input.on("open", done)), failed]);
    yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  } catch (error) {
    throw new CommandError(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    input.destroy();
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
