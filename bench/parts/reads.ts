import pg from "pg";
import { withClient } from "../../src/postgres/client.ts";
import { seededRandom } from "../../src/random.ts";
import type { Bench } from "../bench.ts";
import { actAs, type Books, openBooks, type Urls } from "../books.ts";
import { type Figure, figureOf, type Round } from "../figures.ts";
import { addYear, foldAll } from "../history.ts";
import { quantiles } from "../load.ts";
import { verify } from "../verify.ts";

interface Question {
  name: string;
  /** $1 is an account, $2 a moment of the year, $3 a version of the account. */
  sql: string;
  /** Asked about the account with the deep history, or about any. */
  of: "deep" | "any" | "a thousand";
}

/** As the API asks: `(f(a)).*` would call the function once for each of the nine columns. */
const balance = (argument: string): string =>
  `select a.code, b.*
   from app_public.accounts a
   left join lateral app_public.accounts_balance(a${argument}) b on true
   where a.id = $1`;
const statement = (argument: string): string =>
  `select cardinality(app_public.accounts_statement(a, page_size => 100${argument}))
   from app_public.accounts a where a.id = $1`;
const byDay = `
  select date_trunc('day', p.effective_at, 'UTC'), p.direction, sum(p.posted_amount)
  from app_public.postings p
  where p.tenant_id = app_hidden.current_tenant_id() and p.account_id = $1
  group by 1, 2`;

/** As the accountant of the tenant asks them, under row level security. */
export const questions: Question[] = [
  { name: "an account with its balance", sql: balance(""), of: "any" },
  { name: "an account with its balance, deep history", sql: balance(""), of: "deep" },
  { name: "balance as known at a past moment", sql: balance(", known_at => $2"), of: "deep" },
  { name: "balance as of a past moment", sql: balance(", as_of => $2"), of: "deep" },
  {
    name: "balance on both axes",
    sql: balance(", as_of => $2, known_at => $2::timestamptz + interval '1 hour'"),
    of: "deep",
  },
  { name: "statement of 100 lines, page 1", sql: statement(""), of: "deep" },
  { name: "statement of 100 lines, page %page", sql: statement(", before_version => $3"), of: "deep" },
  { name: "sums by day, any account", sql: byDay, of: "any" },
  { name: "sums by day, deep history", sql: byDay, of: "deep" },
  { name: "trial balance now, 1,000 accounts", sql: "select app_public.trial_balance()", of: "a thousand" },
  {
    name: "trial balance as of a past moment, 1,000 accounts",
    sql: "select app_public.trial_balance(as_of => $2)",
    of: "a thousand",
  },
];

/** What the questions cost in the server, on a year of history. */
export async function reads(bench: Bench): Promise<Figure[]> {
  const { withCopy, progress, books } = bench;
  const postings = Math.min(bench.options.postings, 200_000);
  return withCopy(
    "reads",
    async (urls) => {
      const thousand = await addHistories(urls, books, postings, progress);
      return [
        ...(await measureReads(bench, urls, "reads", thousand)),
        ...(await measureVerification(bench, urls, "reads", postings)),
      ];
    },
    { isEmpty: true },
  );
}

/** Nine tenths of the postings for these books, the others for new ones of a thousand accounts, which are returned. */
export async function addHistories(
  urls: Urls,
  books: Books,
  postings: number,
  progress: (what: string) => void,
): Promise<Books> {
  const thousand = await openBooks(urls, "bench-thousand", 1000);
  await addYear(urls, thousand, Math.ceil(postings / 20), progress);
  await addYear(urls, books, Math.ceil((postings * 9) / 20), progress);
  await foldAll(urls, progress);
  await withClient(urls.superuser, (client) => client.query("vacuum analyze"));
  return thousand;
}

/** Times what the server takes for each question, plan included, over accounts and moments drawn by chance. */
export async function measureReads(bench: Bench, urls: Urls, part: string, thousand: Books): Promise<Figure[]> {
  const { books, options, progress } = bench;
  return withClient(urls.owner, async (client) => {
    const figures: Figure[] = [];
    const depth = await deepest(client, books);
    const page = Math.min(10_000, Math.floor(depth.version / 100));
    for (const { name, sql, of } of questions) {
      const full = name.replace("%page", page.toLocaleString("en-US"));
      if (!options.match.test(full)) continue;
      progress(full);
      const random = seededRandom(options.seed);
      await client.query("reset role");
      await actAs(client, of === "a thousand" ? thousand.tenantId : books.tenantId, "accountant");
      await client.query("set role tallystick_accountant");
      const times = await serverTimes(client, sql, () => ({
        account: of === "deep" ? depth.accountId : (books.accountIds[Math.floor(random() * books.count)] ?? ""),
        moment: new Date(Date.now() - (1 + random() * 360) * 86_400_000),
        version: depth.version - (page - 1) * 100,
      }));
      const rounds: Round[] = [{ value: quantiles(times).p50, ...quantiles(times) }];
      figures.push(figureOf({ part, name: full, unit: "ms" }, rounds));
    }
    return figures;
  });
}

/** How fast all checks prove a history; that it is right is seen by the way. */
export async function measureVerification(
  { books, options, progress }: Bench,
  urls: Urls,
  part: string,
  postings: number,
): Promise<Figure[]> {
  const name = "verifying the ledger with every check";
  if (!options.match.test(name)) return [];
  progress(name);
  const { seconds } = await verify(urls, books.tenantId);
  return [figureOf({ part, name, unit: "postings/s" }, [{ value: postings / seconds }])];
}

/** The account with the most postings. */
async function deepest(owner: pg.Client, { tenantId }: Books): Promise<{ accountId: string; version: number }> {
  const { rows } = await owner.query<{ account_id: string; version: string }>(
    "select account_id, version from app_public.account_balances where tenant_id = $1 order by version desc limit 1",
    [tenantId],
  );
  return { accountId: rows[0]?.account_id ?? "", version: Number(rows[0]?.version) };
}

interface Parameters {
  account: string;
  moment: Date;
  version: number;
}

/** Milliseconds in the server, as it tells them of a prepared statement: planning and execution. */
async function serverTimes(client: pg.Client, sql: string, draw: () => Parameters): Promise<number[]> {
  const times: number[] = [];
  await client.query(`prepare question (uuid, timestamptz, bigint) as ${sql}`);
  try {
    const started = performance.now();
    for (let run = 0; run < 100 && (run < 12 || performance.now() - started < 5_000); run += 1) {
      const { account, moment, version } = draw();
      const given = [account, moment.toISOString(), String(version)].map((one) => pg.escapeLiteral(one)).join(", ");
      const { rows } = await client.query<{ "QUERY PLAN": [{ "Planning Time": number; "Execution Time": number }] }>(
        `explain (analyze, timing off, buffers off, format json) execute question (${given})`,
      );
      const plan = rows[0]?.["QUERY PLAN"][0];
      // The first ones warm plans and pages.
      if (run >= 10) times.push((plan?.["Planning Time"] ?? 0) + (plan?.["Execution Time"] ?? 0));
    }
  } finally {
    await client.query("deallocate question");
  }
  return times;
}
