import { timingSafeEqual } from "node:crypto";
import { type Request, type Response, Router } from "express";
import type pg from "pg";
import type { Logger } from "pino";
import type { RefusalCatalog } from "../graphql/refusals.ts";
import { makePgSettings } from "../graphql/request_context.ts";
import { callAsAuthenticator } from "../identity/database.ts";
import type { ReceiptLinks } from "../receipts/links.ts";
import { renderReceipt } from "../receipts/pdf.ts";
import { type ReceiptRow, receiptOf } from "../receipts/store.ts";
import { callerOf } from "./caller.ts";
import { sendRefusal, sendStandardError } from "./error_response.ts";

export const receiptsPath = "/api/v1/receipts";

export interface ReceiptRouteOptions {
  pool: pg.Pool;
  refusals: RefusalCatalog;
  receiptLinks: ReceiptLinks;
  log: Logger;
}

type FoundRow = ReceiptRow & { sha256: Buffer | null };

/**
 * Receipts as PDF: for who is signed in those that row level security lets them see, for who has a link that was
 * signed here the one that it is of. The token, if there is one, has been verified.
 */
export function receiptRoute({ pool, refusals, receiptLinks, log }: ReceiptRouteOptions): Router {
  const router = Router();
  const callDatabase = callAsAuthenticator(pool);
  router.get("/:name", async (request, response) => {
    const id = /^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.pdf$/.exec(request.params.name)?.[1];
    if (id === undefined) return sendStandardError(response, { status: 404, code: "NOT_FOUND" });
    const link = linkOf(request);
    const place = link === null ? undefined : receiptLinks.read(id, link);
    if (link !== null && !place) return sendRefusal(response, refusals, { status: 403, code: "LG749" });
    const caller = callerOf(request);
    if (!place && !caller.claims) return sendRefusal(response, refusals, { status: 401, code: "LG401" });
    const [row] = place
      ? await callDatabase<FoundRow>(caller, "linked_receipt", [place.tenantId, place.id])
      : await readAsCaller(pool, request, id);
    if (!row) return sendStandardError(response, { status: 404, code: "NOT_FOUND" });
    const { bytes, sha256 } = await renderReceipt(receiptOf(row));
    if (row.sha256 && !timingSafeEqual(row.sha256, sha256)) {
      log.error({ receiptId: id }, "a receipt is not made as it was when it was issued");
      return sendRefusal(response, refusals, { status: 500, code: "LG748", detail: { receiptId: id } });
    }
    sendPdf(response, row, bytes);
  });
  return router;
}

function linkOf(request: Request): string | null {
  return new URL(request.originalUrl, "http://localhost").searchParams.get("link");
}

function sendPdf(response: Response, { id, number }: FoundRow, bytes: Buffer): void {
  response.setHeader("Content-Disposition", `inline; filename="receipt-${number ?? id}.pdf"`);
  // The link in the address is for whoever opened it.
  response.setHeader("Referrer-Policy", "no-referrer");
  response.type("application/pdf").send(bytes);
}

const readSql = `select r.id, r.number::text, r.facts, to_json(r.issued_at) #>> '{}' as issued_at, f.sha256
  from app_public.receipts r
  left join app_public.receipt_pdfs f on f.tenant_id = r.tenant_id and f.receipt_id = r.id
  where r.tenant_id = app_hidden.current_tenant_id() and r.id = $1`;

/** Reads with the role and the context of the caller, as GraphQL would. */
async function readAsCaller(pool: pg.Pool, request: Request, id: string): Promise<FoundRow[]> {
  const settings = Object.entries(makePgSettings(callerOf(request)));
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query("begin read only");
    await client.query({
      text: "select pg_catalog.set_config(el->>0, el->>1, true) from pg_catalog.json_array_elements($1::json) el",
      values: [JSON.stringify(settings)],
    });
    const { rows } = await client.query<FoundRow>({ text: readSql, values: [id] });
    await client.query("commit");
    return rows;
  } catch (error) {
    await client.query("rollback").catch((trouble: Error) => {
      broken = trouble;
    });
    throw error;
  } finally {
    client.release(broken);
  }
}
