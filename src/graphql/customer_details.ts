import "./graphile.ts";
import { loadOneWithPgClient, sideEffectWithPgClient } from "postgraphile/@dataplan/pg";
import { get, type Step } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import { decryptField, encryptField, type FieldPlace } from "../crypto/fields.ts";
import { type DetailName, detailNames, maskDetail, readDetail, rules, sqlNames } from "../customers/details.ts";
import { type PgQueries, type RequestFacts, refusalError, requestFacts, requireUser } from "./request_facts.ts";

/**
 * Sensitive details of customers. The server encrypts and decrypts; who may set and read what is decided by
 * the SQL functions behind this, and that a value was read in full is recorded by them.
 */
export const CustomerDetailsPlugin = extendSchema((build) => {
  const executor = build.input.pgRegistry.pgResources["accounts"]?.executor;
  if (!executor) throw new Error("The table accounts is not exposed.");

  /** The details of a customer, masked; null where there are none that the caller may see. */
  const detailsOf = ($userId: Step<string | null | undefined>): Step =>
    loadOneWithPgClient(executor, { userId: $userId, facts: requestFacts() }, (client, lookups) =>
      Promise.all(lookups.map((lookup) => readMasked(client as PgQueries, lookup))),
    );

  return {
    typeDefs: gql`
      extend type Query {
        """
        The sensitive details of a customer, masked: those of the caller if nobody is named. Null where there are
        none that the caller may see.
        """
        customerDetails(
          """
          The id of the customer.
          """
          userId: UUID
        ): CustomerDetails
      }

      """
      Sensitive details of a customer. They are stored encrypted, and shown masked.
      """
      type CustomerDetails {
        """
        The id of the customer.
        """
        userId: UUID!
        """
        The e-mail address, of which the first letter and the domain are shown.
        """
        email: String
        """
        The telephone number, of which the end is shown.
        """
        phone: String
        """
        The bank account, of which the end is shown.
        """
        bankAccount: String
        """
        The identity document, of which the end is shown.
        """
        identityDocument: String
        """
        When one of them was last set.
        """
        updatedAt: Datetime!
      }

      extend type Mutation {
        """
        Sets sensitive details of a customer; a customer sets their own. What is left out stays as it is; what is
        null or empty is taken away.
        """
        setCustomerDetails(
          """
          Whose details, and which.
          """
          input: SetCustomerDetailsInput!
        ): SetCustomerDetailsPayload

        """
        Reads one detail in full. That it was read, by whom and what for is recorded.
        """
        revealCustomerDetail(
          """
          Which detail, and what for.
          """
          input: RevealCustomerDetailInput!
        ): RevealCustomerDetailPayload
      }

      """
      Details to set.
      """
      input SetCustomerDetailsInput {
        """
        The id of the customer; the caller if left out.
        """
        userId: UUID
        """
        The e-mail address.
        """
        email: String
        """
        The telephone number, with the code of its country.
        """
        phone: String
        """
        The bank account: an IBAN, or 4 to 34 letters, digits and hyphens.
        """
        bankAccount: String
        """
        The identity document: its kind and number, 3 to 64 characters.
        """
        identityDocument: String
      }

      """
      What the mutation did.
      """
      type SetCustomerDetailsPayload {
        """
        The details as they are now, masked.
        """
        customerDetails: CustomerDetails
      }

      """
      Which detail to read in full.
      """
      input RevealCustomerDetailInput {
        """
        The id of the customer; the caller if left out.
        """
        userId: UUID
        """
        The detail.
        """
        detail: CustomerDetail!
        """
        What it is read for, 1 to 200 characters. It is recorded.
        """
        purpose: String!
      }

      """
      The detail.
      """
      type RevealCustomerDetailPayload {
        """
        The detail in full; null if it is not set.
        """
        value: String
      }

      """
      A kind of sensitive detail of a customer.
      """
      enum CustomerDetail {
        """
        The e-mail address.
        """
        EMAIL
        """
        The telephone number.
        """
        PHONE
        """
        The bank account.
        """
        BANK_ACCOUNT
        """
        The identity document.
        """
        IDENTITY_DOCUMENT
      }
    `,
    enums: {
      CustomerDetail: {
        values: Object.fromEntries(
          detailNames.map((name) => [sqlNames[name].toUpperCase(), { value: name }]),
        ) as Record<string, { value: string }>,
      },
    },
    objects: {
      Query: {
        plans: {
          customerDetails: (_$root, fieldArgs) => detailsOf(fieldArgs.getRaw("userId") as Step<string | null>),
        },
      },
      Mutation: {
        plans: {
          setCustomerDetails: (_$root, fieldArgs) =>
            sideEffectWithPgClient(
              executor,
              { input: fieldArgs.getRaw("input") as Step<DetailsInput>, facts: requestFacts() },
              (client, given) => setDetails(client as PgQueries, given),
            ),
          revealCustomerDetail: (_$root, fieldArgs) =>
            sideEffectWithPgClient(
              executor,
              { input: fieldArgs.getRaw("input") as Step<RevealInput>, facts: requestFacts() },
              (client, given) => revealDetail(client as PgQueries, given),
            ),
        },
      },
      SetCustomerDetailsPayload: {
        plans: { customerDetails: ($payload) => detailsOf(get($payload as Step<{ userId: string }>, "userId")) },
      },
    },
  };
}, "CustomerDetailsPlugin");

type DetailsInput = { userId?: string | null } & { [name in DetailName]?: string | null };

/** Encrypts what was given for the customer that it is for, and stores it. */
async function setDetails(
  client: PgQueries,
  { input, facts }: { input: DetailsInput; facts: RequestFacts },
): Promise<{ userId: string }> {
  const { tenantId, userId: own } = requireUser(facts);
  const userId = (input.userId ?? own).toLowerCase();
  const ciphertexts = await Promise.all(
    detailNames.map(async (name) => {
      const text = input[name];
      if (text === undefined) return null;
      // Taken away, which SQL is told by an empty value.
      if (text === null || text === "") return Buffer.alloc(0);
      const value = readDetail(name, text);
      if (value === undefined) throw refusalError("LG389", invalidDetail, { field: name, rule: rules[name] });
      return encryptField(facts.fieldKeys, placeOf(tenantId, userId, name), value);
    }),
  );
  await client.query({
    text: "select app_hidden.set_customer_details($1, $2, $3, $4, $5)",
    values: [userId, ...ciphertexts],
  });
  return { userId };
}

const invalidDetail = "A detail of the customer does not have the form of its kind.";

interface RevealInput {
  userId?: string | null;
  detail: DetailName;
  purpose: string;
}

async function revealDetail(
  client: PgQueries,
  { input, facts }: { input: RevealInput; facts: RequestFacts },
): Promise<{ value: string | null }> {
  const { rows } = await client.query<{ tenant_id: number; customer_id: string; ciphertext: Buffer | null }>({
    text: "select * from app_hidden.reveal_customer_detail($1, $2::app_public.customer_detail, $3)",
    values: [input.userId ?? null, sqlNames[input.detail], input.purpose],
  });
  const row = rows[0];
  if (!row?.ciphertext) return { value: null };
  const place = placeOf(row.tenant_id, row.customer_id, input.detail);
  return { value: await decryptField(facts.fieldKeys, place, row.ciphertext) };
}

type DetailsRow = { tenant_id: number; user_id: string; updated_at: string } & { [column: string]: Buffer | null };

/** Row level security decides whose details are seen here. */
async function readMasked(
  client: PgQueries,
  { userId, facts }: { userId: string | null | undefined; facts: RequestFacts },
): Promise<object | null> {
  const { rows } = await client.query<DetailsRow>({
    text: `select tenant_id, user_id, to_json(updated_at) #>> '{}' as updated_at, email_ciphertext, phone_ciphertext,
        bank_account_ciphertext, identity_document_ciphertext
      from app_hidden.customer_details
      where tenant_id = app_hidden.current_tenant_id() and user_id = coalesce($1, app_hidden.current_user_id())`,
    values: [userId ?? null],
  });
  const row = rows[0];
  if (!row) return null;
  const masked = await Promise.all(
    detailNames.map(async (name) => {
      const ciphertext = row[`${sqlNames[name]}_ciphertext`];
      if (!ciphertext) return [name, null];
      const place = placeOf(row.tenant_id, row.user_id, name);
      return [name, maskDetail(name, await decryptField(facts.fieldKeys, place, ciphertext))];
    }),
  );
  return { userId: row.user_id, updatedAt: row.updated_at, ...Object.fromEntries(masked) };
}

function placeOf(tenantId: number, userId: string, name: DetailName): FieldPlace {
  const column = `${sqlNames[name]}_ciphertext`;
  return { tenantId, table: "app_hidden.customer_details", column, row: userId };
}
