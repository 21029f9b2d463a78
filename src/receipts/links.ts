import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";

/** Which receipt a link opens. */
export interface ReceiptPlace {
  tenantId: number;
  id: string;
}

/** Makes and reads links that open one receipt for a while, for whoever has them. */
export interface ReceiptLinks {
  make(place: ReceiptPlace, seconds: number): string;
  /** The tenant, if the link of this receipt is good now. */
  read(id: string, link: string): ReceiptPlace | undefined;
}

/** How long links are good for: in an answer of the API, and in a mail. */
export const linkSeconds = { answer: 15 * 60, mail: 7 * 24 * 3600 } as const;

/** The links are signed with a key that is made from the secret of the server and is for nothing else. */
export function makeReceiptLinks({ secret, publicUrl }: { secret: string; publicUrl: string }): ReceiptLinks {
  const key = Buffer.from(hkdfSync("sha256", secret, "", "tallystick receipt links", 32));
  const sign = ({ tenantId, id }: ReceiptPlace, expires: number): string =>
    createHmac("sha256", key).update(`${tenantId} ${id} ${expires}`).digest("base64url");
  return {
    make(place, seconds) {
      const expires = Math.floor(Date.now() / 1000) + seconds;
      const link = `${place.tenantId}.${expires}.${sign(place, expires)}`;
      return `${publicUrl}${receiptPath(place.id)}?link=${link}`;
    },
    read(id, link) {
      const [, tenant, until, signature = ""] = /^(\d{1,10})\.(\d{1,12})\.([\w-]{43})$/.exec(link) ?? [];
      const place = { tenantId: Number(tenant), id };
      const expected = sign(place, Number(until));
      const isSigned =
        signature.length === expected.length && timingSafeEqual(Buffer.from(signature), Buffer.from(expected));
      return isSigned && Number(until) * 1000 > Date.now() ? place : undefined;
    },
  };
}

/** Where a receipt is. */
export function receiptPath(id: string): string {
  return `/api/v1/receipts/${id}.pdf`;
}
