import "./graphile.ts";
import { context } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";

/**
 * `result { transaction { … } }` beside `transactionId`: the row that was just written, read back under
 * the rights of the caller, after the posting.
 */
export const ResultRelationsPlugin = extendSchema((build) => {
  const { transactions, accounts } = build.input.pgRegistry.pgResources;
  if (!transactions || !accounts) throw new Error("The tables transactions and accounts are not exposed.");
  return {
    typeDefs: gql`
      extend type TransactionResult {
        """
        The transaction that was posted; null if it was refused.
        """
        transaction: Transaction
      }
      extend type ResultingBalance {
        """
        The account.
        """
        account: Account
      }
    `,
    objects: {
      TransactionResult: {
        plans: {
          transaction: ($result) =>
            transactions.get({ tenant_id: context().get("tenantId"), id: $result.get("transaction_id") }),
        },
      },
      ResultingBalance: {
        plans: {
          account: ($balance) => accounts.get({ tenant_id: context().get("tenantId"), id: $balance.get("account_id") }),
        },
      },
    },
  };
}, "ResultRelationsPlugin");
