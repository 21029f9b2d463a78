export const accountTypes = ["asset", "liability", "equity", "revenue", "expense"] as const;

export type AccountType = (typeof accountTypes)[number];

const words: Record<string, AccountType> = {
  asset: "asset",
  assets: "asset",
  liability: "liability",
  liabilities: "liability",
  equity: "equity",
  equities: "equity",
  income: "revenue",
  incomes: "revenue",
  revenue: "revenue",
  revenues: "revenue",
  expense: "expense",
  expenses: "expense",
};

/** The type that a word names, in any case, singular or plural. */
export function parseAccountType(word: string): AccountType | undefined {
  const lower = word.trim().toLowerCase();
  return Object.hasOwn(words, lower) ? words[lower] : undefined;
}

/** The type that the first part of an account's name tells: `Assets:Bank` is an asset. */
export function typeByName(name: string): AccountType | undefined {
  return parseAccountType(name.split(":", 1)[0] ?? "");
}

/** One `--account-type GLOB=type`: in the glob, `*` stands for any text and `?` for any character. */
export interface TypeRule {
  glob: string;
  type: AccountType;
  matches: (name: string) => boolean;
}

export function makeTypeRule(glob: string, type: AccountType): TypeRule {
  const pattern = glob
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  const whole = new RegExp(`^${pattern}$`, "su");
  return { glob, type, matches: (name) => whole.test(name) };
}

/** The type of an account: by the first rule that matches its name, else by the name itself. */
export function typeOfAccount(name: string, rules: readonly TypeRule[]): AccountType | undefined {
  return rules.find((rule) => rule.matches(name))?.type ?? typeByName(name);
}
