import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { type CsvRecord, CsvSplitter, formatCsv } from "../../../src/books/csv.ts";

/** Splits text that arrives in pieces of a size. */
function split(text: string, size = 1_000_000): CsvRecord[] {
  const splitter = new CsvSplitter();
  const records: CsvRecord[] = [];
  for (let at = 0; at < text.length; at += size) records.push(...splitter.push(text.slice(at, at + size)));
  return [...records, ...splitter.push("", true)];
}

describe("CSV text", () => {
  test("has a byte order mark, CRLF, line breaks in quotes and blank lines, and line numbers stay right", () => {
    expect(split('\uFEFFa,b\r\n1,"x\r\ny"\r\n\r\n3,"say ""hi"""\r\n\n"",\n')).toEqual([
      { line: 1, cells: ["a", "b"] },
      { line: 2, cells: ["1", "x\r\ny"] },
      { line: 5, cells: ["3", 'say "hi"'] },
      { line: 7, cells: ["", ""] },
    ]);
  });

  test("what is malformed costs its own line and nothing else", () => {
    expect(split('1,2\n"a"b,3\n4,5\n6,"open\n7,8\n')).toEqual([
      { line: 1, cells: ["1", "2"] },
      { line: 2, cells: [], fault: 'there is a "b" after a closing quote' },
      { line: 3, cells: ["4", "5"] },
      { line: 4, cells: [], fault: "a quote is opened and never closed" },
      { line: 5, cells: ["7", "8"] },
    ]);
  });

  const cell = fc.string({ unit: fc.constantFrom("a", '"', ",", "\n", "\r", " ", "é", "€"), maxLength: 6 });
  const rows = fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { maxLength: 6 });

  test("is read back as it was written, with the right lines, however it arrives", () => {
    fc.assert(
      fc.property(rows, fc.constantFrom("\n", "\r\n"), fc.integer({ min: 1, max: 9 }), (cells, ending, size) => {
        const text = cells.map((row) => `${formatCsv(row)}${ending}`).join("");
        let line = 1;
        const expected = cells.map((row) => {
          const record = { line, cells: row };
          line += 1 + row.join("").split("\n").length - 1;
          return record;
        });
        expect(split(text, size)).toEqual(expected);
      }),
    );
  });
});
