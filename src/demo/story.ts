import { demoWallets } from "./people.ts";

/** An account of the demonstration; `normalBalance` only where it is not the one of the type. */
export interface StoryAccount {
  code: string;
  name: string;
  type: "asset" | "liability" | "equity" | "revenue" | "expense";
  ownerId?: string;
  minimumBalance?: string;
}

/** A posting by the code of its account; debits are positive. */
export type StoryPosting = [code: string, amount: number];

export interface StoryTransaction {
  key: string;
  kind: "posted" | "pending";
  at: Date;
  description: string;
  postings: StoryPosting[];
  timeoutSeconds?: number;
}

export const storyAccounts: StoryAccount[] = [
  { code: "assets:bank", name: "Bank account", type: "asset" },
  { code: "assets:card clearing", name: "Card payments on their way", type: "asset" },
  { code: "assets:simulated provider", name: "Money with the simulated provider", type: "asset" },
  ...demoWallets.map(({ name, userId }) => ({
    code: walletOf(name),
    name: `Wallet of ${name}`,
    type: "liability" as const,
    ownerId: userId,
    // A wallet cannot be overdrawn.
    minimumBalance: "0",
  })),
  { code: "liabilities:suspense", name: "Money of which nobody knows yet what it is for", type: "liability" },
  { code: "liabilities:merchants", name: "Owed to merchants", type: "liability" },
  { code: "liabilities:vat", name: "VAT to pay", type: "liability" },
  { code: "equity:capital", name: "Capital", type: "equity" },
  { code: "equity:retained earnings", name: "Retained earnings", type: "equity" },
  { code: "revenue:fees", name: "Fees earned", type: "revenue" },
  { code: "expenses:card processing", name: "Card processing", type: "expense" },
  { code: "expenses:rent", name: "Rent", type: "expense" },
  { code: "expenses:salaries", name: "Salaries", type: "expense" },
];

const day = 86_400_000;
const merchants = ["Bakery Blum", "Night Bus", "Cinema Astra", "Green Grocer", "Book Nook", "Cloud Nine Hosting"];

/**
 * Ninety days of a small wallet company, in minor units of EUR, ending at `now`: capital, rent, salaries,
 * top-ups by card, purchases with fee and VAT, transfers between friends, payouts, and a few reservations
 * that are still open. The same for the same generator; no wallet is ever overdrawn.
 */
export function tellStory(now: Date, random: () => number): StoryTransaction[] {
  const story: StoryTransaction[] = [];
  let clearing = 0;
  const held = new Map<string, number>(demoWallets.map(({ name }) => [name, 0]));
  const add = (
    at: number,
    description: string,
    postings: StoryPosting[],
    more: Partial<StoryTransaction> = {},
  ): void => {
    story.push({ key: `demo-${story.length + 1}`, kind: "posted", at: new Date(at), description, postings, ...more });
  };
  const some = (low: number, high: number): number => Math.floor(low + random() * (high - low));
  const anyOf = <T>(items: readonly T[]): T => items[some(0, items.length)] as T;
  const start = now.getTime() - 90 * day;

  add(start, "Capital paid in", [
    ["assets:bank", 25_000_000],
    ["equity:capital", -25_000_000],
  ]);
  for (let today = 0; today < 90; today += 1) {
    const morning = start + today * day + 9 * 3_600_000;
    if (today % 30 === 0) {
      add(morning, "Office rent", [
        ["expenses:rent", 240_000],
        ["assets:bank", -240_000],
      ]);
      add(morning + 60_000, "Salaries", [
        ["expenses:salaries", 1_450_000],
        ["assets:bank", -1_450_000],
      ]);
    }
    for (const { name } of demoWallets) {
      const wallet = walletOf(name);
      const balance = held.get(name) ?? 0;
      const at = morning + some(0, 10 * 3_600_000);
      if (balance < 2_000 || random() < 0.1) {
        const amount = some(20, 120) * 100;
        add(at, `Top-up by card, ${name}`, [
          ["assets:card clearing", amount],
          [wallet, -amount],
        ]);
        held.set(name, balance + amount);
        clearing += amount;
      } else if (random() < 0.55) {
        const price = some(150, Math.floor(balance * 0.4));
        const fee = Math.ceil(price / 50);
        const vat = Math.floor(fee / 5);
        add(at, anyOf(merchants), [
          [wallet, price],
          ["liabilities:merchants", fee - price],
          ["revenue:fees", vat - fee],
          ...(vat > 0 ? [["liabilities:vat", -vat] as StoryPosting] : []),
        ]);
        held.set(name, balance - price);
      } else if (random() < 0.3) {
        const friend = anyOf(demoWallets.filter((other) => other.name !== name)).name;
        const amount = some(100, Math.floor(balance * 0.3));
        add(at, `${name} to ${friend}`, [
          [wallet, amount],
          [walletOf(friend), -amount],
        ]);
        held.set(name, balance - amount);
        held.set(friend, (held.get(friend) ?? 0) + amount);
      }
    }
    if (today % 7 === 6 && clearing > 0) {
      const cost = Math.ceil(clearing / 70);
      add(morning + 11 * 3_600_000, "Card settlement", [
        ["assets:bank", clearing - cost],
        ["expenses:card processing", cost],
        ["assets:card clearing", -clearing],
      ]);
      clearing = 0;
    }
  }
  const reserving: Partial<StoryTransaction> = { kind: "pending", timeoutSeconds: 7 * 86_400 };
  for (const { name } of demoWallets.slice(0, 3)) {
    const amount = Math.max(1, Math.floor((held.get(name) ?? 0) * 0.25));
    add(
      now.getTime() - 3_600_000,
      `Hotel deposit, ${name}`,
      [
        [walletOf(name), amount],
        ["liabilities:merchants", -amount],
      ],
      reserving,
    );
  }
  return story.sort((one, other) => one.at.getTime() - other.at.getTime());
}

function walletOf(name: string): string {
  return `wallets:${name.toLowerCase()}`;
}
