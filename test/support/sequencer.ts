import { createRequire } from "node:module";

// Its types are those of the CommonJS module; imported as an ECMAScript module it has another shape.
const { default: TestSequencer } = createRequire(import.meta.url)(
  "@jest/test-sequencer",
) as typeof import("@jest/test-sequencer");

type Tests = Parameters<InstanceType<typeof TestSequencer>["sort"]>[0];

/** What takes longest, the longest first. */
export const longest = [
  "chaos/settlements",
  "pgtap",
  "attacks/other_tenant",
  "runtime/start",
  "cli/commands",
  "docs/payment_tour",
  "access/mutations",
  "runtime/several_apis",
];

/**
 * Jest begins with what took longest, once it knows; before it does, as in continuous integration, with the largest
 * file. The file of the chaos test is small: it would be late, and one process would be left alone with it.
 */
export default class LongestFirst extends TestSequencer {
  override async sort(tests: Tests): Promise<Tests> {
    const place = ({ path }: Tests[number]): number => {
      const found = longest.findIndex((name) => path.endsWith(`/test/jest/${name}.test.ts`));
      return found === -1 ? longest.length : found;
    };
    return (await super.sort(tests)).toSorted((a, b) => place(a) - place(b));
  }
}
