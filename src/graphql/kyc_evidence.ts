import "./graphile.ts";
import { sideEffectWithPgClient } from "postgraphile/@dataplan/pg";
import { context, get, type Step } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import { encryptReference, openReference } from "../customers/evidence.ts";
import { type PgQueries, type RequestFacts, refusalError, requestFacts, requireUser } from "./request_facts.ts";

/** Evidence of verification cases: references to documents, which the server encrypts and decrypts. */
export const KycEvidencePlugin = extendSchema((build) => {
  const { accounts, kyc_evidence: evidence } = build.input.pgRegistry.pgResources;
  if (!accounts || !evidence) throw new Error("The tables accounts and kyc_evidence are not exposed.");
  return {
    typeDefs: gql`
      extend type Mutation {
        """
        Submits evidence for a verification case: the reference of a document that is kept elsewhere. It is stored
        encrypted.
        """
        submitKycEvidence(
          """
          The case and the document.
          """
          input: SubmitKycEvidenceInput!
        ): SubmitKycEvidencePayload

        """
        Reads the reference of a piece of evidence in full. That it was read, by whom and what for is recorded.
        """
        revealKycEvidence(
          """
          Which evidence, and what for.
          """
          input: RevealKycEvidenceInput!
        ): RevealKycEvidencePayload
      }

      """
      Evidence to submit.
      """
      input SubmitKycEvidenceInput {
        """
        The id of the case, which must be open or need information.
        """
        caseId: UUID!
        """
        What the document shows.
        """
        kind: KycEvidenceKind!
        """
        Where the document is, 1 to 500 characters.
        """
        reference: String!
      }

      """
      What the mutation did.
      """
      type SubmitKycEvidencePayload {
        """
        The evidence.
        """
        evidence: KycEvidence
      }

      """
      Which evidence to read in full.
      """
      input RevealKycEvidenceInput {
        """
        The id of the evidence.
        """
        id: UUID!
        """
        What it is read for, 1 to 200 characters. It is recorded.
        """
        purpose: String!
      }

      """
      The evidence.
      """
      type RevealKycEvidencePayload {
        """
        Where the document is.
        """
        reference: String!
      }
    `,
    objects: {
      Mutation: {
        plans: {
          submitKycEvidence: (_$root, fieldArgs) =>
            sideEffectWithPgClient(
              accounts.executor,
              { input: fieldArgs.getRaw("input") as Step<SubmitInput>, facts: requestFacts() },
              (client, given) => submit(client as PgQueries, given),
            ),
          revealKycEvidence: (_$root, fieldArgs) =>
            sideEffectWithPgClient(
              accounts.executor,
              { input: fieldArgs.getRaw("input") as Step<RevealInput>, facts: requestFacts() },
              (client, given) => reveal(client as PgQueries, given),
            ),
        },
      },
      SubmitKycEvidencePayload: {
        plans: {
          evidence: ($payload) =>
            evidence.get({ tenant_id: context().get("tenantId"), id: get($payload as Step<{ id: string }>, "id") }),
        },
      },
    },
  };
}, "KycEvidencePlugin");

interface SubmitInput {
  caseId: string;
  kind: string;
  reference: string;
}

async function submit(client: PgQueries, { input, facts }: { input: SubmitInput; facts: RequestFacts }) {
  const { tenantId } = requireUser(facts);
  const reference = input.reference.trim();
  if (!/^\P{Cc}{1,500}$/u.test(reference)) {
    throw refusalError("LG389", "A detail of the customer does not have the form of its kind.", {
      field: "reference",
      rule: "1 to 500 printable characters",
    });
  }
  // The id comes first: the ciphertext is bound to it.
  const id = crypto.randomUUID();
  const ciphertext = await encryptReference(facts.fieldKeys, { tenantId, id }, reference);
  await client.query({
    text: "select app_hidden.submit_kyc_evidence($1, $2, $3::app_public.kyc_evidence_kind, $4)",
    values: [input.caseId, id, input.kind, ciphertext],
  });
  return { id };
}

interface RevealInput {
  id: string;
  purpose: string;
}

async function reveal(client: PgQueries, { input, facts }: { input: RevealInput; facts: RequestFacts }) {
  const { rows } = await client.query<{ tenant_id: number; ciphertext: Buffer }>({
    text: "select * from app_hidden.reveal_kyc_evidence($1, $2)",
    values: [input.id, input.purpose],
  });
  if (!rows[0]) throw new Error("The ledger revealed nothing.");
  const { tenant_id: tenantId, ciphertext } = rows[0];
  return { reference: await openReference(facts.fieldKeys, { tenantId, id: input.id.toLowerCase() }, ciphertext) };
}
