import { withClient } from "../../src/postgres/client.ts";
import type { Bench } from "../bench.ts";
import type { Urls } from "../books.ts";
import { type Figure, figureOf } from "../figures.ts";
import { type Contestant, inTurns, sqlLoad } from "../load.ts";
import { type Form, postingScript } from "../scripts.ts";
import { nameOf, pickOf, withTellers } from "./sql.ts";

const part = "guarantees";

/** What is taken out, in a database of its own: by the superuser, or by what is sent. */
interface Variant {
  name: string;
  sql?: string;
  form?: Partial<Form>;
}

/** Runs a statement, with %s for the table, for each table that a query finds. */
const forEach = (tables: string, statement: string): string => `
  do $$
  declare
    v_table text;
  begin
    for v_table in ${tables} loop
      execute format('${statement}', v_table);
    end loop;
  end
  $$`;

const variants: Variant[] = [
  {
    name: "without row level security",
    sql: forEach(
      "select c.oid::regclass from pg_class c where c.relrowsecurity",
      "alter table %s disable row level security, no force row level security",
    ),
  },
  {
    name: "without audit",
    sql: forEach(
      `select format('%s disable trigger %I', t.tgrelid::regclass, t.tgname) from pg_trigger t
       where t.tgname like '\\_900\\_audit%' and t.tgparentid = 0`,
      "alter table %s",
    ),
  },
  { name: "without idempotency keys", form: { withKeys: false } },
  {
    name: "without the triggers that check what was written",
    sql: forEach(
      `select format('%s disable trigger %I', t.tgrelid::regclass, t.tgname) from pg_trigger t
       where t.tgname like '\\_210\\_check%' and not t.tgisinternal`,
      "alter table %s",
    ),
  },
  {
    name: "without foreign keys of transactions and postings",
    sql: forEach(
      `select format('%s disable trigger %I', t.tgrelid::regclass, t.tgname)
       from pg_trigger t
       join pg_constraint c on c.oid = t.tgconstraint
       where c.contype = 'f' and t.tgrelid = c.conrelid
         and c.conrelid in ('app_public.transactions'::regclass, 'app_public.postings'::regclass)`,
      "alter table %s",
    ),
  },
];

/**
 * What each guarantee costs: the same posting with one of them taken out, in turns with all of them in place. A ratio
 * of 1.05 says that posting would be 5 % faster without. Sealing takes no part in posting: see the part of its name.
 */
export async function guarantees(bench: Bench): Promise<Figure[]> {
  const groups = [
    { size: 1, clients: 8 },
    { size: 1000, clients: 2 },
  ];
  const figures: Figure[] = [];
  for (const group of bench.options.full ? groups : groups.slice(1)) figures.push(...(await measure(bench, group)));
  return figures;
}

async function measure(bench: Bench, group: { size: number; clients: number }): Promise<Figure[]> {
  const { books, options, clock, progress } = bench;
  const base = nameOf({ ...group, shapes: [] }, "uniform");
  const nameWith = ({ name }: Variant): string => `${base}, ${name}`;
  const chosen = variants.filter((variant) => options.match.test(nameWith(variant)));
  if (chosen.length === 0) return [];
  const contestants: Contestant[] = [];
  // Each in a database of its own, and all of them open until the last round.
  const enter = async (left: Variant[]): Promise<Figure[]> => {
    const [variant, ...others] = left;
    if (!variant) {
      const rounds = await inTurns(contestants, { ...options, progress });
      return chosen.map((one) =>
        figureOf(
          { part, name: nameWith(one), unit: "transfers/s", floorName: "with all" },
          rounds.get(nameWith(one)) ?? [],
          rounds.get(base),
        ),
      );
    }
    return bench.withCopy(`${part} ${left.length}`, async (urls: Urls) => {
      if (variant.sql !== undefined) {
        const { sql } = variant;
        await withClient(urls.superuser, (client) => client.query(sql));
      }
      return withTellers(bench, urls, group.clients, (clients) => {
        const script = postingScript(books, pickOf(bench, "uniform"), { ...group, ...variant.form });
        const name = variant.name === "" ? base : nameWith(variant);
        contestants.push({ name, load: sqlLoad(clients, script, `${options.seed} ${base}`, clock) });
        return enter(others);
      });
    });
  };
  return enter([{ name: "" }, ...chosen]);
}
