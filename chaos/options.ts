import { parseArgs } from "node:util";

export interface ChaosNumbers {
  kills: number;
  settlements: number;
  workers: number;
  seed: number;
}

interface NumberOption {
  standard: number;
  minimum: number;
  maximum: number;
  means: string;
}

const options: Record<keyof ChaosNumbers, NumberOption> = {
  kills: { standard: 50, minimum: 0, maximum: 100_000, means: "how often something is killed" },
  settlements: { standard: 2000, minimum: 1, maximum: 10_000_000, means: "how many payments are asked for" },
  workers: { standard: 2, minimum: 1, maximum: 64, means: "how many workers settle them" },
  seed: { standard: 1, minimum: 0, maximum: 2 ** 31, means: "the same seed asks for the same, and kills the same" },
};
const names = Object.keys(options) as (keyof ChaosNumbers)[];

export const help = [
  "npm run chaos -- [--kills 500] [--settlements 20000] [--workers 2] [--seed 1]",
  "",
  "Settles payments while workers, the API, connections and the provider are killed at random, and then",
  "compares the ledger with the provider's own books, to the cent.",
  "",
  ...names.map((name) => {
    const { means, standard } = options[name];
    return `  ${`--${name} <number>`.padEnd(25)}${means}; default: ${standard}`;
  }),
  `  ${"-h, --help".padEnd(25)}says this`,
  "",
  "Exit status: 0 the books agree; 1 they do not; 2 wrong arguments.",
].join("\n");

/** What the command line asks for: numbers, help, or something that is wrong, in a sentence. */
export function readOptions(args: string[]): ChaosNumbers | { fault: string } | "help" {
  const { tokens } = parseArgs({
    args,
    strict: false,
    tokens: true,
    options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])),
  });
  const numbers = Object.fromEntries(names.map((name) => [name, options[name].standard])) as Record<string, number>;
  for (const token of tokens) {
    if (token.kind === "positional") return { fault: `${token.value} is no option.` };
    if (token.kind !== "option") continue;
    if (token.name === "help" || token.name === "h") return "help";
    const option = names.includes(token.name as keyof ChaosNumbers) && options[token.name as keyof ChaosNumbers];
    if (!option) return { fault: `${token.rawName} is no option.` };
    const value = token.value ?? "";
    const number = Number(value);
    if (!/^[0-9]+$/.test(value) || number < option.minimum || number > option.maximum)
      return {
        fault: `${token.rawName} must be a whole number from ${option.minimum} to ${option.maximum}, not "${value}".`,
      };
    numbers[token.name] = number;
  }
  return numbers as unknown as ChaosNumbers;
}
