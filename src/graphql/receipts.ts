import "./graphile.ts";
import { context, lambda, object, type Step } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import { linkSeconds, type ReceiptLinks } from "../receipts/links.ts";

interface LinkOf {
  links: ReceiptLinks;
  tenantId: number;
  id: string;
}

/** Where the PDF of a receipt is, for whoever sees the receipt. */
export const ReceiptsPlugin = extendSchema(
  () => ({
    typeDefs: gql`
    extend type Receipt {
      """
      Where the receipt is as PDF. The link opens it for fifteen minutes for whoever has it; without the part after
      the question mark the address asks for a token, and stays.
      """
      pdfUrl: String!
    }
  `,
    objects: {
      Receipt: {
        plans: {
          pdfUrl($receipt) {
            const $of = object({
              links: context().get("receiptLinks"),
              tenantId: context().get("tenantId"),
              id: $receipt.get("id"),
            });
            return lambda($of as unknown as Step<LinkOf>, ({ links, tenantId, id }) =>
              links.make({ tenantId, id }, linkSeconds.answer),
            );
          },
        },
      },
    },
  }),
  "ReceiptsPlugin",
);
