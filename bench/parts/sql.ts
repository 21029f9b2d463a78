import type pg from "pg";
import type { Bench } from "../bench.ts";
import { beRequest, openSession, type Session, type Urls } from "../books.ts";
import { type Figure, figureOf } from "../figures.ts";
import { type Contestant, inTurns, type Load, type Script, sqlLoad, withConnections } from "../load.ts";
import { bareInserts, bareTransfers, type Form, postingScript } from "../scripts.ts";
import { creditedByAll, debitedByAll, type Pick, pairs, uniform, zipf } from "../shapes.ts";

/** Who pays whom. */
export type ShapeName = "uniform" | "Zipf" | "ten accounts" | "one credited by all" | "one debited by all";

/** Figures that are measured in turns, by the same connections. */
export interface Group extends Form {
  clients: number;
  shapes: ShapeName[];
  /** What is not plain posting of two lines. */
  what?: string;
  /** Nothing was ever posted when the connections were opened, and there are no statistics. */
  isFresh?: boolean;
}

const allShapes: ShapeName[] = ["uniform", "Zipf", "ten accounts", "one credited by all", "one debited by all"];

/** A selection: what the figures to reach are about, and one of each kind. */
const quick: Group[] = [
  { size: 1, clients: 1, shapes: ["uniform"] },
  { size: 1, clients: 16, shapes: ["uniform", "Zipf"] },
  { size: 1, clients: 64, shapes: ["uniform", "one credited by all"] },
  { size: 100, clients: 2, shapes: ["uniform"] },
  { size: 1000, clients: 2, shapes: ["uniform", "Zipf", "one credited by all", "one debited by all"] },
  { size: 1000, clients: 2, shapes: ["uniform"], isFresh: true, what: "in a new ledger" },
  { size: 1000, clients: 2, shapes: ["uniform"], refusals: 0.2, what: "20 % refused" },
  { size: 1000, clients: 2, shapes: ["uniform"], resolution: "post_pending", what: "pending, then posted" },
];

const full: Group[] = [
  ...[1, 16, 64].map((clients) => ({ size: 1, clients, shapes: allShapes })),
  ...[10, 100, 1000].flatMap((size) =>
    [1, 2, 4].map((clients) => ({
      size,
      clients,
      shapes: clients === 2 ? allShapes : (["uniform", "Zipf"] as ShapeName[]),
    })),
  ),
  ...[
    { size: 1, clients: 16 },
    { size: 1000, clients: 2 },
  ].flatMap(({ size, clients }) =>
    [
      { isFresh: true, what: "in a new ledger" },
      { postings: 4, what: "4 postings" },
      { postings: 16, what: "16 postings", size: Math.min(size, 100) },
      { refusals: 0.01, what: "1 % refused" },
      { refusals: 0.2, what: "20 % refused" },
      { resolution: "post_pending" as const, what: "pending, then posted" },
      { resolution: "void_pending" as const, what: "pending, then voided" },
    ].map((form) => ({ size, clients, shapes: ["uniform"] as ShapeName[], ...form })),
  ),
];

/** Posting over SQL, as a teller over the login of the API, with an idempotency key each. */
export async function sql(bench: Bench): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const group of bench.options.full ? full : quick) {
    const shapes = group.shapes.filter((shape) => bench.options.match.test(nameOf(group, shape)));
    if (shapes.length === 0) continue;
    // Each group finds the books as empty as the one before.
    const measure = (urls: Urls): Promise<Figure[]> => measureGroup(bench, urls, "sql", { ...group, shapes });
    figures.push(...(await bench.withCopy("sql", measure, { isEmpty: group.isFresh ?? false })));
  }
  return figures;
}

/** Measures the shapes of a group, each in turns with its floor and with the others. */
async function measureGroup(bench: Bench, urls: Urls, part: string, group: Group): Promise<Figure[]> {
  const floorName = hasFloorS(group) ? "S" : "B";
  return withTellers(bench, urls, group.clients, async (clients, { userId }) => {
    const contestants = group.shapes.flatMap((shape): Contestant[] => {
      const pick = pickOf(bench, shape);
      const name = nameOf(group, shape);
      const floor = hasFloorS(group) ? bareTransfers(pick) : bareInserts(bench.books, userId, pick, group);
      const script = postingScript(bench.books, pick, group);
      const load = (of: Script, seed: string): Load =>
        sqlLoad(clients, of, `${bench.options.seed} ${seed}`, bench.clock);
      return [
        { name: `floor ${floorName} of ${name}`, load: load(floor, `floor ${name}`) },
        { name, load: load(script, name) },
      ];
    });
    const rounds = await inTurns(contestants, { ...bench.options, progress: bench.progress });
    return group.shapes.map((shape) => {
      const name = nameOf(group, shape);
      const floors = rounds.get(`floor ${floorName} of ${name}`);
      return figureOf({ part, name, unit: "transfers/s", floorName }, rounds.get(name) ?? [], floors);
    });
  });
}

/** Runs `work` with connections of a teller over the login of the API. */
export async function withTellers<T>(
  { books }: Bench,
  urls: Urls,
  count: number,
  work: (clients: pg.Client[], session: Session) => Promise<T>,
): Promise<T> {
  const session = await openSession(urls, books.tenantId, "teller");
  const prepare = (client: pg.Client): Promise<void> => beRequest(client, "teller", session);
  return withConnections({ url: urls.api, count, prepare }, (clients) => work(clients, session));
}

/** A transaction of more than two lines is more than one bare transfer: it is compared with its rows. */
function hasFloorS({ size, postings = 2 }: Group): boolean {
  return size === 1 && postings === 2;
}

export function nameOf({ size, clients, what }: Group, shape: ShapeName): string {
  const how = size === 1 ? "one at a time" : `batches of ${size.toLocaleString("en-US")}`;
  const who = clients === 1 ? "1 client" : `${clients} clients`;
  return [how, who, shape, ...(what ? [what] : [])].join(", ");
}

/** The drawing of a shape over the accounts of the books. */
export function pickOf({ books, options }: Bench, shape: ShapeName): Pick {
  const { count, places } = books;
  const picks: Record<ShapeName, () => Pick> = {
    uniform: () => pairs(uniform(count)),
    Zipf: () => pairs(zipf(count, options.seed)),
    "ten accounts": () => pairs(uniform(10)),
    "one credited by all": () => creditedByAll(places.credited, uniform(count)),
    "one debited by all": () => debitedByAll(places.limited, uniform(count)),
  };
  return picks[shape]();
}
