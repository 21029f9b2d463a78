import pg from "pg";
import type { ScratchServer } from "../scripts/scratch_server.ts";
import { withClient } from "../src/postgres/client.ts";
import { databaseOf, withUrl } from "../src/postgres/urls.ts";
import type { Books, Urls } from "./books.ts";
import type { Figure } from "./figures.ts";
import { type ProcessorClock, serverClock } from "./processor.ts";

/** What the parts of the bench are given. */
export interface Bench {
  server: ScratchServer["server"];
  options: BenchOptions;
  books: Books;
  /**
   * Runs `work` on a copy of the database with these books, and drops the copy. There is a short history in it, of
   * which PostgreSQL has statistics; unless nothing was ever posted.
   */
  withCopy<T>(name: string, work: (urls: Urls) => Promise<T>, options?: { isEmpty?: boolean }): Promise<T>;
  /** The processor time of the database server. */
  clock: ProcessorClock;
  progress(what: string): void;
}

export interface BenchOptions {
  /** Everything, rather than a selection that is measured in minutes. */
  full: boolean;
  /** How long a round is. */
  seconds: number;
  rounds: number;
  accounts: number;
  /** How many postings the histories have that are read. */
  postings: number;
  seed: number;
  /** Figures of other names are left out, in parts that have many. */
  match: RegExp;
}

export type Part = (bench: Bench) => Promise<Figure[]>;

export interface BenchServer {
  server: ScratchServer["server"];
  /** The database that is copied, and the one without history. Nothing may be connected to them. */
  template: Urls;
  empty: Urls;
  books: Books;
}

/** Runs `work` with what the parts are given. */
export async function withBench<T>(
  { server, template, empty, books }: BenchServer,
  options: BenchOptions,
  progress: (what: string) => void,
  work: (bench: Bench) => Promise<T>,
): Promise<T> {
  return withClient(server.superuserUrl, async (admin) => {
    const clock = await serverClock(admin);
    return work({
      server,
      options,
      books,
      clock,
      progress,
      withCopy: async (name, run, { isEmpty = false } = {}) => {
        progress(`a database for ${name}`);
        const database = `bench_${name.replaceAll(/\W+/g, "_")}`;
        await copyDatabase(admin, databaseOf((isEmpty ? empty : template).superuser), database);
        try {
          return await run(mapUrls(template, (url) => withUrl(url, { database })));
        } finally {
          await admin.query(`drop database ${pg.escapeIdentifier(database)} with (force)`);
        }
      },
    });
  });
}

/** Rights on a database are not copied with it, so they are granted again (see afterReset.sql). */
export async function copyDatabase(admin: pg.Client, template: string, name: string): Promise<void> {
  const database = pg.escapeIdentifier(name);
  // A copy of the files is not written to the log a second time.
  await admin.query(
    `create database ${database} template ${pg.escapeIdentifier(template)} strategy file_copy
     owner tallystick_owner`,
  );
  await admin.query(`revoke all on database ${database} from public;
    grant connect on database ${database} to tallystick_api, tallystick_worker;
    grant create on database ${database} to tallystick_worker`);
}

export function mapUrls(urls: Urls, change: (url: string) => string): Urls {
  return {
    superuser: change(urls.superuser),
    owner: change(urls.owner),
    api: change(urls.api),
    worker: change(urls.worker),
  };
}
