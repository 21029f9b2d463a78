import pg from "pg";
import { openCommandSession } from "../src/cli/ledger.ts";
import { type Load, median, transfersPerSecond } from "./load.ts";

/** One line of the report. */
export interface Figure {
  name: string;
  /** What `value` counts, such as transfers/s or ms. */
  unit: string;
  value: number;
  floorName?: string;
  /** Measured in the same run, in turns. */
  floor?: number;
}

export interface Books {
  url: string;
  tenantId: number;
  accountIds: string[];
}

interface Shape {
  name: string;
  clients: number;
  size: number;
  /** How many of the accounts take part; 0 = all of them, against one hot account. */
  pick: (random: () => number) => [number, number];
  withKeys?: boolean;
  /** Each client posts to a tenant of its own. */
  ownBooks?: boolean;
}

/** Opens a tenant with some accounts. */
export async function openBooks(url: string, slug: string, count: number): Promise<Books> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ id: number }>("select id from app_private.create_tenant($1)", [slug]);
    const tenantId = rows[0]?.id ?? 0;
    await actAs(client, tenantId);
    const opened = await client.query<{ id: string }>(
      `select (app_public.open_account('account ' || n, 'Account', 'asset', 'USD')).id
       from generate_series(1, $1::integer) n`,
      [count],
    );
    await client.query("vacuum analyze");
    return { url, tenantId, accountIds: opened.rows.map((row) => row.id) };
  } finally {
    await client.end();
  }
}

/** A session of an admin, for as long as the connection lasts. */
export async function actAs(client: pg.ClientBase, tenantId: number): Promise<void> {
  const { sessionId, userId } = await openCommandSession(client, { tenantId, role: "admin", seconds: 24 * 3600 });
  await client.query(
    `select set_config('tallystick.tenant_id', $1, false), set_config('tallystick.user_id', $2, false),
            set_config('tallystick.session_id', $3, false)`,
    [String(tenantId), userId, sessionId],
  );
}

/** Measures posting over SQL in several shapes, each in turns with its floor. The first books are shared. */
export async function measurePosting(
  tenants: [Books, ...Books[]],
  { rounds, seconds, progress }: { rounds: number; seconds: number; progress: (name: string) => void },
): Promise<Figure[]> {
  const figures: Figure[] = [];
  const [books, ...ownBooks] = tenants;
  for (const shape of shapes(books.accountIds.length, ownBooks[0]?.accountIds.length ?? 0)) {
    progress(shape.name);
    const floor = shape.size === 1 ? floorS(books, shape, seconds) : floorB(books, shape, seconds);
    const posting = postingLoad(shape.ownBooks ? ownBooks : [books], shape, seconds);
    // The first pass warms plans and pages, and is not counted.
    await transfersPerSecond({ ...posting, seconds: 1 });
    const floors: number[] = [];
    const values: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      floors.push(await transfersPerSecond(floor));
      values.push(await transfersPerSecond(posting));
    }
    figures.push({
      name: shape.name,
      unit: "transfers/s",
      value: median(values),
      floorName: shape.size === 1 ? "S" : "B",
      floor: median(floors),
    });
  }
  return figures;
}

/** Two of so many accounts, each as likely as any other. */
export function uniformOver(accounts: number): Shape["pick"] {
  return (random) => {
    const one = Math.floor(random() * accounts);
    return [one, (one + 1 + Math.floor(random() * (accounts - 1))) % accounts];
  };
}

function shapes(count: number, ownCount: number): Shape[] {
  const uniform = uniformOver(count);
  // One account is credited by all others.
  const hot: Shape["pick"] = (random) => [1 + Math.floor(random() * (count - 1)), 0];
  const singles = [1, 8].flatMap((clients) => [
    { name: `one at a time, ${clients} clients, uniform`, clients, size: 1, pick: uniform },
    { name: `one at a time, ${clients} clients, one hot account`, clients, size: 1, pick: hot },
  ]);
  const batches = [100, 1000].flatMap((size) => [
    { name: `batches of ${size}, 2 clients, uniform`, clients: 2, size, pick: uniform },
    { name: `batches of ${size}, 2 clients, one hot account`, clients: 2, size, pick: hot },
    { name: `batches of ${size}, 2 clients, ten accounts`, clients: 2, size, pick: uniformOver(10) },
    { name: `batches of ${size}, 2 clients, uniform, with keys`, clients: 2, size, pick: uniform, withKeys: true },
    {
      name: `batches of ${size}, 2 clients, each in books of ${ownCount} accounts`,
      clients: 2,
      size,
      pick: uniformOver(ownCount),
      ownBooks: true,
    },
  ]);
  return [...singles, ...batches];
}

/** Posts in a shape, as clients of the API would. */
export function postingLoad(tenants: Books[], shape: Shape, seconds: number): Load {
  const booksOf = (index: number): Books => tenants[index % tenants.length] as Books;
  const key = (): string => (shape.withKeys ? crypto.randomUUID() : "");
  const item = (random: () => number, { accountIds }: Books): string => {
    const [debit, credit] = shape.pick(random).map((index) => accountIds[index]);
    const amount = 1 + Math.floor(random() * 10_000);
    const postings = `{\\"(${debit},debit,${amount})\\",\\"(${credit},credit,${amount})\\"}`;
    return `(posted,"${postings}",${key()},,,,,,,)`;
  };
  const quoted = (random: () => number, books: Books): string =>
    `"${item(random, books).replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  const batch: Load["next"] = (random, index) => ({
    text: "select count(*) from unnest(app_public.post_transactions($1))",
    values: [`{${Array.from({ length: shape.size }, () => quoted(random, booksOf(index))).join(",")}}`],
    transfers: shape.size,
  });
  const single: Load["next"] = (random, index) => ({
    text: "select transaction_id from app_public.post_transaction($1)",
    values: [item(random, booksOf(index))],
    transfers: 1,
  });
  return {
    url: booksOf(0).url,
    clients: shape.clients,
    seconds,
    prepare: (client, index) => actAs(client, booksOf(index).tenantId),
    next: shape.size === 1 ? single : batch,
  };
}

function floorS(books: Books, shape: Shape, seconds: number): Load {
  return {
    url: books.url,
    clients: shape.clients,
    seconds,
    next: (random) => {
      const [debit, credit] = shape.pick(random);
      return { text: "select floor.transfer($1, $2, $3)", values: [debit + 1, credit + 1, 100], transfers: 1 };
    },
  };
}

function floorB(books: Books, shape: Shape, seconds: number): Load {
  let versions = Math.floor(performance.now() * 1_000_000);
  return {
    url: books.url,
    clients: shape.clients,
    seconds,
    next: (random) => {
      const accounts = Array.from({ length: shape.size }, () =>
        shape.pick(random).map((index) => books.accountIds[index]),
      ).flat();
      versions += 10_000;
      return { text: "select floor.insert_batch($1, $2)", values: [accounts, versions], transfers: shape.size };
    },
  };
}
