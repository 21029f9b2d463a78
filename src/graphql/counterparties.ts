import "./graphile.ts";
import { sideEffectWithPgClient } from "postgraphile/@dataplan/pg";
import { context, get, type Step } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import { accountRule, readAccount, sealAccount } from "../payments/counterparties.ts";
import { newId } from "../random.ts";
import { type PgQueries, type RequestFacts, refusalError, requestFacts, requireUser } from "./request_facts.ts";

/** Counterparties of payments, the numbers of whose accounts the server encrypts. */
export const CounterpartiesPlugin = extendSchema((build) => {
  const { counterparties } = build.input.pgRegistry.pgResources;
  if (!counterparties) throw new Error("The table counterparties is not exposed.");
  return {
    typeDefs: gql`
      extend type Mutation {
        """
        Adds somebody outside whom payments come from or go to. The number of their account is stored encrypted; only
        its end is shown. A customer adds their own.
        """
        addCounterparty(
          """
          Who they are.
          """
          input: AddCounterpartyInput!
        ): AddCounterpartyPayload
      }

      """
      A counterparty to add.
      """
      input AddCounterpartyInput {
        """
        Their name, as their bank knows it: 1 to 140 characters.
        """
        name: String!
        """
        The number of their account: an IBAN, whose check digits must be right, or 4 to 34 letters, digits and hyphens.
        """
        account: String
        """
        The BIC of their bank.
        """
        bic: String
        """
        Their country: two letters of ISO 3166.
        """
        country: String
        """
        The id of the customer or partner whose they are; of all the tenant if left out.
        """
        ownerId: UUID
        """
        Facts of the caller's own, a JSON object of at most 16 KB.
        """
        metadata: JSON
      }

      """
      What the mutation did.
      """
      type AddCounterpartyPayload {
        """
        The counterparty.
        """
        counterparty: Counterparty
      }
    `,
    objects: {
      Mutation: {
        plans: {
          addCounterparty: (_$root, fieldArgs) =>
            sideEffectWithPgClient(
              counterparties.executor,
              { input: fieldArgs.getRaw("input") as Step<AddInput>, facts: requestFacts() },
              (client, given) => add(client as PgQueries, given),
            ),
        },
      },
      AddCounterpartyPayload: {
        plans: {
          counterparty: ($payload) =>
            counterparties.get({
              tenant_id: context().get("tenantId"),
              id: get($payload as Step<{ id: string }>, "id"),
            }),
        },
      },
    },
  };
}, "CounterpartiesPlugin");

interface AddInput {
  name: string;
  account?: string | null;
  bic?: string | null;
  country?: string | null;
  ownerId?: string | null;
  metadata?: unknown;
}

async function add(client: PgQueries, { input, facts }: { input: AddInput; facts: RequestFacts }) {
  const { tenantId } = requireUser(facts);
  // The id comes first: the ciphertext is bound to it.
  const id = newId();
  const sealed = await seal(facts, { tenantId, id }, input.account);
  await client.query({
    text: "select app_hidden.add_counterparty($1, $2, $3, $4, $5, $6, $7, $8)",
    values: [
      id,
      input.name.normalize("NFC").trim(),
      input.ownerId ?? null,
      sealed?.ciphertext ?? null,
      sealed?.hint ?? null,
      input.bic ?? null,
      input.country ?? null,
      input.metadata == null ? null : JSON.stringify(input.metadata),
    ],
  });
  return { id };
}

async function seal(facts: RequestFacts, of: { tenantId: number; id: string }, text: string | null | undefined) {
  if (text == null) return undefined;
  const account = readAccount(text);
  if (account === undefined) {
    throw refusalError("LG616", "A fact of the counterparty does not have its form.", {
      field: "account",
      rule: accountRule,
    });
  }
  return sealAccount(facts.fieldKeys, of, account);
}
