import pg from "pg";
import { type Answer, NothingPostedError, type PostingRequest } from "./queue.ts";

/** The balance that a posting left, with the names that app_public.resulting_balance gives. */
export interface PostedBalance {
  account_id: string;
  currency: string;
  version: string;
  posted: string;
  pending: string;
  available: string;
}

/** What a posted transaction is answered with. */
export interface Posted {
  transaction_id: string;
  is_replayed: boolean;
  balances: PostedBalance[];
}

/** One request was refused; the words are those of the catalog. */
export class PostingRefusedError extends Error {
  readonly code: string;
  readonly detail: Record<string, unknown>;

  constructor({ code, detail }: { code: string; detail: Record<string, unknown> }) {
    super(`The posting was refused with ${code}.`);
    this.name = "PostingRefusedError";
    this.code = code;
    this.detail = detail;
  }
}

/** A row with `postedColumns`. */
export interface PostedRow {
  refusal: { code: string; detail: Record<string, unknown> | null } | null;
  transaction_id: string | null;
  is_replayed: boolean | null;
  balances: PostedBalance[] | null;
}

const begin = "begin; set local role tallystick_authenticator; set local statement_timeout = '10s'";
// Amounts and versions as text: JSON numbers would not hold them.
/** What is read of a result `r` of type app_public.transaction_result. */
export const postedColumns = `
  r.transaction_id, r.is_replayed,
  case when r.refusal is distinct from null
    then json_build_object('code', (r.refusal).code, 'detail', (r.refusal).detail) end as refusal,
  (
    select json_agg(json_build_object('account_id', b.account_id, 'currency', b.currency,
      'version', b.version::text, 'posted', b.posted::text, 'pending', b.pending::text,
      'available', b.available::text))
    from unnest(r.balances) b
  ) as balances`;
const postSql = `
  select ${postedColumns}
  from unnest(app_hidden.post_together($1, $2, $3, $4)) with ordinality
    as r (transaction_id, is_replayed, balances, refusal, n)
  order by r.n`;

/**
 * Posts requests of one tenant together, in one database transaction, with one round trip. The pool must have been
 * made with `pipeline: true`.
 */
export function postTogether(pool: pg.Pool): (requests: PostingRequest[]) => Promise<Answer<Posted>[]> {
  return async (requests) => {
    const client = await pool.connect();
    let broken: Error | undefined;
    try {
      const values = [
        requests[0]?.tenantId,
        requests.map(({ sessionId }) => sessionId),
        requests.map(({ userId }) => userId),
        requests.map(({ transaction }) => transaction),
      ];
      const [begun, posted, committed] = await Promise.allSettled([
        client.query(begin),
        client.query<PostedRow>({ name: "post_together", text: postSql, values }),
        client.query("commit"),
      ]);
      if (committed.status === "rejected") broken = new Error("The database transaction did not end.");
      if (posted.status === "rejected") {
        // What the database itself said no to was not committed behind it.
        throw posted.reason instanceof pg.DatabaseError ? new NothingPostedError(posted.reason) : posted.reason;
      }
      if (begun.status === "rejected") throw begun.reason;
      if (committed.status === "rejected") throw committed.reason;
      return posted.value.rows.map(answerOf);
    } finally {
      client.release(broken);
    }
  };
}

function answerOf(row: PostedRow): Answer<Posted> {
  const { refusal, transaction_id } = row;
  if (refusal) return { error: new PostingRefusedError({ code: refusal.code, detail: refusal.detail ?? {} }) };
  return transaction_id === null ? undefined : { result: postedOf(row) };
}

/** What a row says of a transaction that was posted. */
export function postedOf({ transaction_id, is_replayed, balances }: PostedRow): Posted {
  return { transaction_id: transaction_id ?? "", is_replayed: is_replayed ?? false, balances: balances ?? [] };
}
