import "./graphile.ts";
import { sideEffectWithPgClient } from "postgraphile/@dataplan/pg";
import { context, each, get, type Step } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import { importStatements } from "../statements/import.ts";
import { readStatementFile, type StatementFormat } from "../statements/read.ts";
import { StatementError } from "../statements/statement.ts";
import { type PgQueries, type RequestFacts, refusalError, requestFacts, requireUser } from "./request_facts.ts";

/** Characters of a statement in a request; larger ones are imported by the command line. */
const maxContentLength = 1_500_000;

/** Statements of providers, which the server reads and SQL imports. */
export const StatementsPlugin = extendSchema((build) => {
  const { accounts, statements } = build.input.pgRegistry.pgResources;
  if (!accounts || !statements) throw new Error("The tables accounts and statements are not exposed.");
  return {
    typeDefs: gql`
      extend type Mutation {
        """
        Imports the statements of a file, all of them or, with an error, none. Each must begin with the balance that
        the last one ended with. The same file again does nothing. A job matches the entries after that.
        """
        importStatement(
          """
          The file, and whose it is.
          """
          input: ImportStatementInput!
        ): ImportStatementPayload
      }

      """
      A file of statements.
      """
      input ImportStatementInput {
        """
        The code of the provider whose statement it is.
        """
        providerCode: String!
        """
        The form of the file.
        """
        format: StatementFormat!
        """
        What is in the file, at most 1,500,000 characters.
        """
        content: String!
      }

      """
      What was imported.
      """
      type ImportStatementPayload {
        """
        The statements of the file, in its order; none of a list that told nothing new.
        """
        statements: [Statement]
        """
        Whether all of it was imported before, so that nothing was done.
        """
        isKnown: Boolean
      }
    `,
    objects: {
      Mutation: {
        plans: {
          importStatement: (_$root, fieldArgs) =>
            sideEffectWithPgClient(
              accounts.executor,
              { input: fieldArgs.getRaw("input") as Step<ImportInput>, facts: requestFacts() },
              (client, given) => importFile(client as PgQueries, given),
            ),
        },
      },
      ImportStatementPayload: {
        plans: {
          statements: ($payload) =>
            each(get($payload as Step<{ ids: string[] }>, "ids"), ($id) =>
              statements.get({ tenant_id: context().get("tenantId"), id: $id }),
            ),
        },
      },
    },
  };
}, "StatementsPlugin");

interface ImportInput {
  providerCode: string;
  /** As the enum of the database has it. */
  format: StatementFormat;
  content: string;
}

async function importFile(
  client: PgQueries,
  { input, facts }: { input: ImportInput; facts: RequestFacts },
): Promise<{ ids: string[]; isKnown: boolean }> {
  requireUser(facts);
  const run = async <Row>(text: string, values: unknown[]): Promise<readonly Row[]> =>
    (await client.query<Row>({ text, values })).rows;
  // Who may not import is told so before anything is read.
  await run("select from app_hidden.begin_import()", []);
  const { providerCode, format, content } = input;
  if (content.length > maxContentLength) {
    throw refusalError("LG715", "The statement is too large to be sent like this.", { maximum: maxContentLength });
  }
  try {
    const imported = await importStatements({ run }, await readStatementFile(Buffer.from(content), format), {
      providerCode,
    });
    return { ids: imported.map(({ id }) => id), isKnown: imported.every(({ isKnown }) => isKnown) };
  } catch (error) {
    if (!(error instanceof StatementError)) throw error;
    throw refusalError("LG700", "The statement cannot be read in the format that was named.", {
      fault: error.message,
      ...(error.place !== undefined && { place: error.place }),
    });
  }
}
