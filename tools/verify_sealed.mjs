#!/usr/bin/env node
/**
 * Checks a sealed ledger without its database: an export, a proof, and anchors. One file, no dependency, for
 * Node.js 20 or newer; copy it to where it is trusted. It shares no code with the ledger: the canonical forms
 * and hashes are written here anew from docs/sealing.md.
 */
import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const help = `Usage: node verify_sealed.mjs ledger EXPORT [--anchors FILE]
       node verify_sealed.mjs proof PROOF [--anchors FILE]

Checks what was sealed, without the database that it came from.

  ledger EXPORT    what \`npx tallystick export --tenant T --format sealed\` wrote: every row, every block, and
                   the chain of blocks
  proof PROOF      what \`npx tallystick proof TRANSACTION --tenant T\` or the GraphQL query inclusionProof
                   answered: that one transaction is in its block
  --anchors FILE   block hashes that were kept elsewhere, one JSON object a line, as the ledger told them. Only
                   they tell a chain that was rewritten as a whole, or whose end was cut off

"-" reads standard input. Exit status: 0 sound; 1 something was found, and each finding is a line that begins with
FOUND and its name; 2 wrong arguments, or a file that cannot be read.

Findings:
  row_changed              a row is not as it was sealed
  row_missing              a sealed row is gone
  row_inserted             a row was put between sealed ones
  row_unreadable           a row has a form that no ledger writes
  leaves_changed           the leaves of a block are not those that it was made of
  block_changed            a block is not what its hash says
  block_missing            a block is gone from within the chain
  block_replaced           the next block was chained to another block than this
  tail_missing             the last blocks are gone
  anchored_block_missing   a block that was anchored is gone
  anchored_block_replaced  a block that was anchored is another one now
  anchored_chain_replaced  the chain was begun anew since it was anchored
  not_anchored             no anchor covers the block of the proof, or the file has none of these books
  proof_broken             the proof does not lead from the transaction to the block
  retention_untrue         a month is on record as retired, and is there, or was other than that
  export_incomplete        lines of the file are missing`;

class UsageError extends Error {}

// ------------------------------------------------------------------------------------------------
// Canonical forms and hashes

const sha256 = (prefix, ...parts) => {
  const hash = createHash("sha256").update(Buffer.of(prefix));
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
};
const hashLeaf = (content) => sha256(0, Buffer.from(content, "utf8"));
const hashNode = (left, right) => sha256(1, Buffer.from(left, "hex"), Buffer.from(right, "hex"));
const hashBlock = (header) => sha256(2, Buffer.from(header, "utf8"));

/** ISO 8601 with up to six decimals, to seconds since 1970 with exactly six. */
function canonicalTime(text) {
  if (text === null) return null;
  const match = /^(\d{4,6})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:Z|([+-])(\d\d):?(\d\d)?)$/.exec(text);
  if (!match) throw new TypeError(`${text} is no time`);
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const offset = match[8] ? (match[8] === "-" ? -1 : 1) * (Number(match[9]) * 3600 + Number(match[10] ?? 0) * 60) : 0;
  const seconds = BigInt(date.getTime() / 1000 - offset);
  const micros = seconds * 1_000_000n + BigInt((match[7] ?? "").padEnd(6, "0"));
  const size = micros < 0n ? -micros : micros;
  return `${micros < 0n ? "-" : ""}${size / 1_000_000n}.${String(size % 1_000_000n).padStart(6, "0")}`;
}

/** Nothing but text and null has a place in a canonical form: numbers come as text. */
function textOrNull(value) {
  if (value === null || typeof value === "string") return value;
  throw new TypeError(`${JSON.stringify(value)} is not text`);
}

const canonicalRow = {
  ledger: (row) =>
    JSON.stringify([
      "tallystick.transaction.v1",
      ...[row.id, row.kind, row.xactId].map(textOrNull),
      ...[row.createdAt, row.effectiveAt, row.expiresAt].map(canonicalTime),
      ...[row.pendingId, row.reversesId, row.createdBy, row.idempotencyKey].map(textOrNull),
      ...[row.fingerprint, row.description, row.metadata].map(textOrNull),
      row.postings.map((posting) => [
        ...[posting.ordinal, posting.accountId, posting.version, posting.direction, posting.currency].map(textOrNull),
        ...[posting.postedAmount, posting.pendingAmount].map(textOrNull),
        ...[posting.postedDebits, posting.postedCredits].map(textOrNull),
        ...[posting.pendingDebits, posting.pendingCredits].map(textOrNull),
        ...[posting.createdAt, posting.effectiveAt].map(canonicalTime),
      ]),
    ]),
  audit: (row) =>
    JSON.stringify([
      "tallystick.audit_entry.v1",
      ...[row.id, row.operation, row.xactId].map(textOrNull),
      canonicalTime(row.at),
      ...[row.userId, row.sessionId, row.address, row.requestRole, row.requestId].map(textOrNull),
      ...[row.databaseUser, row.applicationName, row.tableName, row.rowKey, row.action].map(textOrNull),
      ...[row.before, row.after].map(textOrNull),
    ]),
};

const canonicalHeader = (block) =>
  JSON.stringify([
    "tallystick.block.v1",
    block.chainId,
    block.stream.toLowerCase(),
    ...[block.number, block.firstPosition, block.leafCount].map(String),
    ...[block.earliestAt, block.latestAt, block.sealedAt].map(canonicalTime),
    block.merkleRoot,
    block.previousHash,
  ]);

/** Whether the header of a block hashes to what the block says; one that cannot be read does not. */
function hasItsHash(block) {
  try {
    return hashBlock(canonicalHeader(block)) === block.blockHash;
  } catch {
    return false;
  }
}

/** The root over hashes in their order: each two become one, the last of an odd number goes up as it is. */
function merkleRoot(hashes) {
  let level = hashes;
  while (level.length > 1) {
    const above = [];
    for (let n = 0; n < level.length; n += 2) {
      above.push(n + 1 < level.length ? hashNode(level[n], level[n + 1]) : level[n]);
    }
    level = above;
  }
  return level[0];
}

/** The root that a leaf leads to with its siblings; undefined if they are too few or too many. */
function rootFromProof({ leafHash, leafIndex, siblings, size }) {
  if (!Number.isInteger(leafIndex) || leafIndex < 0 || leafIndex >= size) return undefined;
  let hash = leafHash;
  let used = 0;
  for (let [index, last] = [leafIndex, size - 1]; last > 0; index >>= 1, last >>= 1) {
    if (index === last && index % 2 === 0) continue;
    const sibling = siblings[used++];
    if (sibling === undefined) return undefined;
    hash = index % 2 === 1 ? hashNode(sibling, hash) : hashNode(hash, sibling);
  }
  return used === siblings.length ? hash : undefined;
}

// ------------------------------------------------------------------------------------------------
// An export, line by line

class Findings {
  count = 0;
  add(name, where, text) {
    this.count += 1;
    console.log(`FOUND ${name}: ${where}: ${text}`);
  }
}

const whereBlock = (block) => `${block.stream.toLowerCase()} block ${block.number}`;
const rowNames = { ledger: "transaction", audit: "audit entry" };

/** What one chain has shown so far. */
const newChain = (line) => ({
  stream: line.stream,
  end: line,
  hashes: new Map(),
  block: undefined,
  previous: undefined,
  leaves: [],
  strays: new Set(),
  last: undefined,
  blocks: 0,
  rows: 0,
  retirements: [],
  unsealed: 0,
});

async function verifyExport(file, anchors) {
  const findings = new Findings();
  const chains = new Map();
  let tenant;
  const counts = { block: 0, leaf: 0, unsealed: 0 };
  let isComplete = false;
  const chainOf = (line) => {
    const chain = chains.get(line.stream);
    if (!chain) throw new UsageError(`${file} names no chain of the stream ${line.stream}.`);
    return chain;
  };
  const readers = {
    books: (line) => {
      if (line.format !== "tallystick.sealed.v1") throw new UsageError(`${file} has the format ${line.format}.`);
      tenant = line.tenant;
    },
    chain: (line) => {
      if (chains.has(line.stream) || !Object.hasOwn(canonicalRow, line.stream)) {
        throw new UsageError(`${file} has a chain of the stream ${line.stream}, unknown or for the second time.`);
      }
      chains.set(line.stream, newChain(line));
    },
    retention: (line) => addRetirement(chainOf(line), line),
    block: (line) => beginBlock(chainOf(line), line, findings),
    leaf: (line) => addLeaf(chainOf(line), line, findings),
    unsealed: (line) => addUnsealed(chainOf(line), line, findings),
    end: ({ blocks, leaves, unsealed }) => {
      isComplete = blocks === counts.block && leaves === counts.leaf && unsealed === counts.unsealed;
    },
  };
  for await (const line of readLines(file)) {
    const read = Object.hasOwn(readers, line.type) ? readers[line.type] : undefined;
    if (!read) throw new UsageError(`${file} has a line of the unknown type ${JSON.stringify(line.type)}.`);
    if (line.type in counts) counts[line.type] += 1;
    read(line);
  }
  if (!isComplete) findings.add("export_incomplete", file, "lines of it are missing");
  for (const chain of chains.values()) endChain(chain, findings);
  if (anchors) checkAnchors({ anchors, tenant, chains, findings });
  for (const { stream, blocks, rows, retirements, unsealed } of chains.values()) {
    const retired = retirements.reduce((sum, { gone }) => sum + gone, 0);
    const gone = retired > 0 ? ` (${retired} of them retired by the retention rule)` : "";
    console.log(`${stream}: ${blocks} blocks, ${rows} sealed rows${gone}, ${unsealed} not sealed yet`);
  }
  return findings.count;
}

function beginBlock(chain, block, findings) {
  endBlock(chain, findings);
  const { previous } = chain;
  const expected = (previous?.number ?? 0) + 1;
  const where = whereBlock(block);
  if (block.number !== expected) {
    const gone = block.number > expected + 1 ? `blocks ${expected} to ${block.number - 1} are` : `block ${expected} is`;
    findings.add("block_missing", `${block.stream} block ${expected}`, `${gone} not there`);
  } else if ((previous?.blockHash ?? null) !== block.previousHash) {
    const changed = previous ? whereBlock(previous) : where;
    findings.add("block_replaced", changed, `block ${block.number} was chained to another one`);
  }
  const first = (previous?.lastPosition ?? 0) + 1;
  const isInPlace = block.number !== expected || block.firstPosition === first;
  if (!hasItsHash(block) || block.chainId !== chain.end.chainId || !isInPlace) {
    findings.add("block_changed", where, "its header does not hash to what it says");
  }
  chain.block = block;
  chain.leaves = [];
  chain.blocks += 1;
  chain.hashes.set(block.number, block.blockHash);
}

function endBlock(chain, findings) {
  const { block, leaves } = chain;
  if (!block) return;
  if (leaves.length !== block.leafCount || merkleRoot(leaves) !== block.merkleRoot) {
    findings.add("leaves_changed", whereBlock(block), "its leaves do not give its root");
  }
  chain.previous = { ...block, lastPosition: block.firstPosition + block.leafCount - 1 };
  chain.block = undefined;
}

function addLeaf(chain, leaf, findings) {
  const { block } = chain;
  const where = `${leaf.stream} block ${leaf.block}, leaf ${leaf.index}, ${rowNames[leaf.stream]} ${leaf.id}`;
  if (block?.number !== leaf.block) {
    if (!chain.strays.has(leaf.block)) {
      findings.add("leaves_changed", `${leaf.stream} block ${leaf.block}`, "there are leaves of it outside of it");
    }
    chain.strays.add(leaf.block);
    return;
  }
  if (leaf.index !== chain.leaves.length) chain.leaves.push("");
  chain.leaves.push(leaf.leafHash);
  chain.rows += 1;
  const retirement = retirementOf(chain, block);
  if (leaf.row) {
    if (retirement) retirement.left += 1;
    const hash = hashRow(leaf, where, findings);
    if (hash !== undefined && (hash !== leaf.leafHash || leaf.row.id !== leaf.id)) {
      findings.add("row_changed", where, "it is not as it was sealed");
    }
    chain.last = leaf.row;
  } else if (retirement) {
    retirement.gone += 1;
  } else {
    findings.add("row_missing", where, "it was sealed and is gone");
  }
}

/** Rows of one month may have been retired in two goes. */
function addRetirement({ stream, retirements }, line) {
  if (stream !== "audit") throw new UsageError(`Nothing of the stream ${stream} is ever retired.`);
  const known = retirements.find(({ startsAt, endsAt }) => startsAt === line.startsAt && endsAt === line.endsAt);
  if (known) known.entries += line.entries;
  else retirements.push({ ...line, gone: 0, left: 0 });
}

/** The month of the retention rule that a block lies in as a whole; no block lies in two. */
function retirementOf({ retirements }, block) {
  if (retirements.length === 0) return undefined;
  const micros = (time) => BigInt(canonicalTime(time).replace(".", ""));
  return retirements.find(
    ({ startsAt, endsAt }) => micros(block.earliestAt) >= micros(startsAt) && micros(block.latestAt) < micros(endsAt),
  );
}

function hashRow({ stream, row }, where, findings) {
  try {
    return hashLeaf(canonicalRow[stream](row));
  } catch (error) {
    findings.add("row_unreadable", where, error.message);
    return undefined;
  }
}

/** Rows that are in no block: they come after all that are, or they were put between them. */
function addUnsealed(chain, { stream, row }, findings) {
  endBlock(chain, findings);
  const { last } = chain;
  const isAfter = !last || BigInt(row.xactId) > BigInt(last.xactId) || (row.xactId === last.xactId && row.id > last.id);
  if (isAfter) chain.unsealed += 1;
  else
    findings.add("row_inserted", `${stream} ${rowNames[stream]} ${row.id}`, "it is in no block, where all were sealed");
}

function endChain(chain, findings) {
  endBlock(chain, findings);
  const { end, previous, stream, retirements } = chain;
  for (const { startsAt, endsAt, entries, gone, left } of retirements) {
    const text = `${entries} on record as retired, ${gone} sealed ones are gone, ${left} are left`;
    // The rule keeps a year at the least.
    const isTooYoung = !(Date.now() - Date.parse(endsAt) > 364 * 86_400_000);
    if (left > 0 || gone !== entries || isTooYoung)
      findings.add("retention_untrue", `${stream} month of ${startsAt.slice(0, 7)}`, text);
  }
  if ((previous?.number ?? 0) < end.number) {
    const from = (previous?.number ?? 0) + 1;
    findings.add("tail_missing", `${stream} block ${from}`, `the chain had ${end.number} blocks`);
  } else if ((previous?.blockHash ?? null) !== end.blockHash) {
    findings.add("block_replaced", `${stream} block ${end.number}`, "the chain ended with another one");
  }
}

// ------------------------------------------------------------------------------------------------
// A proof

function verifyProof(file, anchors) {
  const findings = new Findings();
  const proof = readProof(file);
  const { block, followingBlocks = [] } = proof;
  const broken = (text) => findings.add("proof_broken", `transaction ${proof.transactionId}`, text);
  const content = parseJson(proof.content);
  if (!Array.isArray(content) || JSON.stringify(content) !== proof.content) broken("its content is not canonical");
  else if (content[1] !== proof.transactionId) broken(`its content is that of ${content[1]}`);
  if (hashLeaf(proof.content) !== proof.leafHash) broken("its content does not hash to the leaf that was sealed");
  const root = rootFromProof({ ...proof, size: block.leafCount });
  if (root !== block.merkleRoot) broken("the siblings do not lead to the root of the block");
  let previous;
  for (const one of [block, ...followingBlocks]) {
    if (!hasItsHash(one)) broken(`block ${one.number} does not hash to what it says`);
    if (previous && (one.previousHash !== previous.blockHash || one.number !== previous.number + 1)) {
      broken(`block ${one.number} is not chained to block ${previous.number}`);
    }
    previous = one;
  }
  if (anchors) checkAnchorsOfProof(anchors, [block, ...followingBlocks], findings);
  if (findings.count === 0) {
    console.log(`Transaction ${proof.transactionId} is leaf ${proof.leafIndex} of ${whereBlock(block)},`);
    console.log(`sealed ${block.sealedAt}, block hash ${block.blockHash}.`);
  }
  return findings.count;
}

function readProof(file) {
  const parsed = parseJson(readText(file));
  const proof = parsed?.data?.inclusionProof ?? parsed?.inclusionProof ?? parsed;
  const isProof =
    typeof proof?.content === "string" &&
    Array.isArray(proof.siblings) &&
    typeof proof.block?.chainId === "string" &&
    typeof proof.block.stream === "string";
  if (!isProof) throw new UsageError(`${file} holds no proof: every field of inclusionProof is needed.`);
  // GraphQL has large numbers as text.
  const numbered = (block) => ({ ...block, number: Number(block.number), leafCount: Number(block.leafCount) });
  return { ...proof, block: numbered(proof.block), followingBlocks: (proof.followingBlocks ?? []).map(numbered) };
}

// ------------------------------------------------------------------------------------------------
// Anchors

/** One JSON object a line. A line that is none, as a crash may leave one half written, is told and passed over. */
function readAnchors(file) {
  const anchors = [];
  for (const [index, text] of readText(file).split("\n").entries()) {
    if (text.trim() === "") continue;
    const anchor = parseJson(text);
    if (anchor?.format === "tallystick.anchor.v1") anchors.push(anchor);
    else console.error(`Line ${index + 1} of ${file} is no anchor, and was passed over.`);
  }
  return anchors;
}

function checkAnchors({ anchors, tenant, chains, findings }) {
  let count = 0;
  for (const anchor of anchors) {
    const chain = chains.get(anchor.stream);
    const isOurs = chain?.end.chainId === anchor.chainId;
    if (!isOurs && anchor.tenant !== tenant) continue;
    count += 1;
    const where = `${anchor.stream} block ${anchor.number}`;
    const hash = chain?.hashes.get(anchor.number);
    if (!isOurs) findings.add("anchored_chain_replaced", where, `anchored in the chain ${anchor.chainId}`);
    else if (hash === undefined) findings.add("anchored_block_missing", where, `anchored with ${anchor.blockHash}`);
    else if (hash !== anchor.blockHash) {
      findings.add("anchored_block_replaced", where, `anchored with ${anchor.blockHash}, now ${hash}`);
    }
  }
  if (count === 0) findings.add("not_anchored", String(tenant), "no anchor of it is in the file");
  else console.log(`${count} anchors of ${tenant} compared`);
}

function checkAnchorsOfProof(anchors, blocks, findings) {
  const own = anchors.filter(({ chainId, stream }) => {
    return chainId === blocks[0].chainId && stream === blocks[0].stream.toLowerCase();
  });
  let covered = 0;
  for (const anchor of own) {
    const block = blocks.find(({ number }) => number === anchor.number);
    if (!block) continue;
    covered += 1;
    if (block.blockHash !== anchor.blockHash) {
      findings.add("anchored_block_replaced", whereBlock(block), `anchored with ${anchor.blockHash}`);
    } else {
      console.log(`Anchored: block ${block.number}.`);
    }
  }
  if (covered === 0) findings.add("not_anchored", whereBlock(blocks[0]), "no anchor covers it");
}

// ------------------------------------------------------------------------------------------------
// Files

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readText(file) {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${error.message}`);
  }
}

async function* readLines(file) {
  const input = file === "-" ? process.stdin : createReadStream(file);
  let number = 0;
  try {
    for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      number += 1;
      const line = parseJson(text);
      if (line?.type !== "books" && number === 1) throw new UsageError(`${file} is no export of a sealed ledger.`);
      // A file that was cut off ends within a line: the missing last line tells.
      if (line === undefined) console.error(`Line ${number} of ${file} is not JSON, and was passed over.`);
      else yield line;
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${file} cannot be read: ${error.message}`);
  }
}

async function main(args) {
  let parsed;
  try {
    const options = { anchors: { type: "string" }, help: { type: "boolean", short: "h" } };
    parsed = parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error.message);
  }
  const { values, positionals } = parsed;
  if (values.help) {
    console.log(help);
    return 0;
  }
  const [command, file] = positionals;
  const verify = { ledger: verifyExport, proof: verifyProof }[command];
  if (!verify || file === undefined || positionals.length > 2) throw new UsageError(help);
  const anchors = values.anchors === undefined ? undefined : readAnchors(values.anchors);
  const count = await verify(file, anchors);
  console.log(count === 0 ? "Sound." : `NOT sound: ${count} ${count === 1 ? "finding" : "findings"}.`);
  return count === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUnreadable = error instanceof TypeError || error instanceof SyntaxError;
  if (!(error instanceof UsageError || isUnreadable)) throw error;
  console.error(isUnreadable ? `A file has a form that no ledger writes: ${error.message}.` : error.message);
  process.exitCode = 2;
}
