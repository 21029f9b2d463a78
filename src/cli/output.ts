import { once } from "node:events";
import { createWriteStream } from "node:fs";
import pg from "pg";

/** A line for the person at the terminal. Results go to standard output, this does not. */
export function say(message: string): void {
  process.stderr.write(`${message}\n`);
}

/** A mistake of the caller, or of what they gave us: told without a stack. */
export class CommandError extends Error {
  constructor(...lines: string[]) {
    super(lines.join("\n"));
    this.name = "CommandError";
  }
}

/** What went wrong and what to do about it, in sentences. */
export function describeError(error: unknown): string {
  if (error instanceof pg.DatabaseError) return describeDatabaseError(error);
  if (error instanceof AggregateError && error.errors.length > 0) return describeError(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED" || code === "ENOTFOUND" || code === "ETIMEDOUT") {
    return [
      `The database does not answer (${error.message}).`,
      "Start it, or check DATABASE_URL. Without DATABASE_URL, `npx tallystick start` runs one of its own.",
    ].join("\n");
  }
  return error.message;
}

function describeDatabaseError(error: pg.DatabaseError): string {
  if (error.code?.startsWith("LG")) {
    return [`${error.message} (${error.code})`, error.detail, error.hint].filter(Boolean).join("\n");
  }
  if (["3F000", "42P01", "42883", "42703", "42704"].includes(error.code ?? "")) {
    return `${error.message}.\nThe database is not at the newest migration. Run \`npx tallystick migrate\`.`;
  }
  if (error.code === "42501") {
    return `${error.message}.\nConnect as the owner of the database, tallystick_owner: see DATABASE_URL.`;
  }
  return [`${error.message} (${error.code})`, error.detail, error.hint].filter(Boolean).join("\n");
}

/** Where a command writes its result: standard output or a file. Waits when the reader is slow. */
export interface Sink {
  write(text: string): Promise<void>;
  close(): Promise<void>;
}

export function openSink(path: string | undefined): Sink {
  const stream = path === undefined ? process.stdout : createWriteStream(path);
  let failure: Error | undefined;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // The reader of the pipe has seen enough, as `head` does.
    if (error.code === "EPIPE") process.exit(0);
    failure = error;
  });
  return {
    write: async (text) => {
      if (failure) throw failure;
      if (!stream.write(text)) await once(stream, "drain");
    },
    close: async () => {
      if (path !== undefined) {
        stream.end();
        await once(stream, "finish");
      }
      if (failure) throw failure;
    },
  };
}

/** Whole numbers with marks between thousands, for reports. */
export function count(value: number | bigint, one: string, many = `${one}s`): string {
  return `${value.toLocaleString("en-GB")} ${value === 1 || value === 1n ? one : many}`;
}

export interface TableColumn {
  title: string;
  align?: "left" | "right";
}

/** Rows as aligned text. */
export function formatTable(columns: readonly TableColumn[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...rows.map((row) => (row[index] ?? "").length)),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ align }, index) => {
        const cell = cells[index] ?? "";
        const width = widths[index] ?? 0;
        return align === "right" ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "─".repeat(width)).join("  ");
  return [line(columns.map(({ title }) => title)), rule, ...rows.map(line)].join("\n");
}
