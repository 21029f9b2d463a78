/** One record of a CSV file, and the line that it starts on (the first line is 1). */
export interface CsvRecord {
  line: number;
  cells: string[];
  /** Why the record cannot be read; its cells are then none. */
  fault?: string;
}

/** Longer than any sane record: a quote that is still open there was opened by mistake. */
const maxRecordLength = 1_000_000;

/**
 * Splits CSV text (RFC 4180; LF or CRLF; a byte order mark is skipped) into records as it arrives.
 * What is malformed costs its own line and nothing else: reading goes on with the next line, which
 * is what the parsers at hand do not do, nor do they count lines inside quotes right.
 */
export class CsvSplitter {
  #text = "";
  #line = 1;
  #started = false;

  /** Takes more text and gives the records that are complete. `last`: nothing comes after it. */
  push(text: string, last = false): CsvRecord[] {
    this.#text += text;
    if (!this.#started && this.#text !== "") {
      this.#started = true;
      if (this.#text.startsWith("\uFEFF")) this.#text = this.#text.slice(1);
    }
    const records: CsvRecord[] = [];
    let at = 0;
    while (at < this.#text.length) {
      const found = readRecord(this.#text, at, last);
      if (found === undefined) break;
      const blank = found.fault === undefined && found.cells.length === 1 && found.end - at === found.ending;
      if (!blank) {
        const { cells, fault } = found;
        records.push(fault === undefined ? { line: this.#line, cells } : { line: this.#line, cells: [], fault });
      }
      this.#line += found.lines;
      at = found.end;
    }
    this.#text = this.#text.slice(at);
    return records;
  }
}

interface Found {
  cells: string[];
  fault?: string;
  /** Where the next record starts. */
  end: number;
  /** The length of the line ending. */
  ending: number;
  /** How many lines the record takes. */
  lines: number;
}

/** The record that starts at `start`; undefined if more text is needed to tell. */
function readRecord(text: string, start: number, last: boolean): Found | undefined {
  const cells: string[] = [];
  let at = start;
  let lines = 1;
  for (;;) {
    if (text[at] === '"') {
      const cell = readQuoted(text, at);
      if (cell === undefined) {
        if (!last && text.length - start < maxRecordLength) return undefined;
        return faulty(text, start, "a quote is opened and never closed");
      }
      cells.push(cell.value);
      lines += cell.lines;
      at = cell.end;
      if (!last && at + 1 >= text.length) return undefined;
      if (!isEndOfCell(text, at)) {
        if (!last && !text.includes("\n", at) && text.length - start < maxRecordLength) return undefined;
        return faulty(text, start, `there is a ${JSON.stringify(text[at])} after a closing quote`);
      }
    } else {
      const end = endOfPlain(text, at);
      // A "\r" at the very end may be half of a line ending.
      if (!last && end + 1 >= text.length && text[end] !== "\n") return undefined;
      cells.push(text.slice(at, end));
      at = end;
    }
    if (text[at] === ",") {
      at += 1;
      continue;
    }
    if (text[at] === undefined) return { cells, end: at, ending: 0, lines };
    if (text[at] === "\n") return { cells, end: at + 1, ending: 1, lines };
    // Only "\r\n" is left: a lone "\r" is part of a plain cell.
    return { cells, end: at + 2, ending: 2, lines };
  }
}

function isEndOfCell(text: string, at: number): boolean {
  const next = text[at];
  return next === undefined || next === "," || next === "\n" || (next === "\r" && (text[at + 1] ?? "\n") === "\n");
}

function endOfPlain(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 44 || code === 10) return at;
    if (code === 13 && (text.charCodeAt(at + 1) === 10 || at + 1 === text.length)) return at;
  }
  return text.length;
}

function readQuoted(text: string, start: number): { value: string; end: number; lines: number } | undefined {
  let at = start + 1;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote === -1) return undefined;
    if (text[quote + 1] === '"') {
      at = quote + 2;
      continue;
    }
    const raw = text.slice(start + 1, quote);
    const lines = raw.includes("\n") ? raw.split("\n").length - 1 : 0;
    return { value: raw.includes('"') ? raw.replaceAll('""', '"') : raw, end: quote + 1, lines };
  }
}

function faulty(text: string, start: number, fault: string): Found {
  const newline = text.indexOf("\n", start);
  const end = newline === -1 ? text.length : newline + 1;
  return { cells: [], fault, end, ending: 0, lines: newline === -1 ? 0 : 1 };
}

/** One record as CSV text, without the line ending; cells are quoted where they need it. */
export function formatCsv(cells: readonly string[]): string {
  return cells.map((cell) => (/[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(",");
}
