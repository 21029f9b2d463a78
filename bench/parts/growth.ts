import type { Bench } from "../bench.ts";
import type { Urls } from "../books.ts";
import { type Figure, figureOf } from "../figures.ts";
import { inTurns, sqlLoad } from "../load.ts";
import { postingScript } from "../scripts.ts";
import { addHistories, measureReads, measureVerification } from "./reads.ts";
import { type Group, nameOf, pickOf, withTellers } from "./sql.ts";

const part = "growth";

/** About as many postings of a history have their pages in the log, as a whole, for each second of posting to it. */
const postingsWarmedInASecond = 300_000;

const groups: Group[] = [
  { size: 1, clients: 16, shapes: ["uniform"] },
  { size: 1, clients: 32, shapes: ["one credited by all"] },
  { size: 100, clients: 2, shapes: ["uniform"] },
  { size: 1000, clients: 2, shapes: ["uniform", "Zipf"] },
];

/** Posting to books that hold many postings, in turns with books that hold few; then reading what they hold. */
export async function growth(bench: Bench): Promise<Figure[]> {
  const { options, books, progress, withCopy } = bench;
  const { postings } = options;
  return withCopy(
    "growth, full",
    async (full) => {
      const thousand = await addHistories(full, books, postings, progress);
      const figures: Figure[] = [];
      for (const group of groups)
        figures.push(...(await withCopy("growth, small", (small) => measureGroup(bench, group, { full, small }))));
      figures.push(...(await measureReads(bench, full, part, thousand)));
      figures.push(...(await measureVerification(bench, full, part, postings)));
      return figures;
    },
    { isEmpty: true },
  );
}

async function measureGroup(
  bench: Bench,
  group: Group,
  { full, small }: { full: Urls; small: Urls },
): Promise<Figure[]> {
  const { books, options, clock, progress } = bench;
  const what = `with ${options.postings.toLocaleString("en-US")} postings present`;
  const names = group.shapes.map((shape) => ({ shape, name: nameOf({ ...group, what }, shape) }));
  const wanted = names.filter(({ name }) => options.match.test(name));
  return withTellers(bench, full, group.clients, (inFull) =>
    withTellers(bench, small, group.clients, async (inSmall) => {
      const contestants = wanted.flatMap(({ shape, name }) => {
        const script = postingScript(books, pickOf(bench, shape), group);
        const seed = `${options.seed} ${name}`;
        return [
          { name: `${name}, of the few`, load: sqlLoad(inSmall, script, seed, clock) },
          { name, load: sqlLoad(inFull, script, seed, clock) },
        ];
      });
      // After the checkpoint that ends the history, the first change of each page writes all of it to the log, and
      // there are many more pages here than there. In the long run a checkpoint is rare: it comes every 15 minutes, in
      // which each page is changed many times.
      const warming = Math.max(5 * options.seconds, options.postings / postingsWarmedInASecond);
      const rounds = await inTurns(contestants, { ...options, warming, progress });
      return wanted.map(({ name }) =>
        figureOf(
          { part, name, unit: "transfers/s", floorName: "few present" },
          rounds.get(name) ?? [],
          rounds.get(`${name}, of the few`),
        ),
      );
    }),
  );
}
