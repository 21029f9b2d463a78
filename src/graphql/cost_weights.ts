/**
 * What a field costs besides the objects of its answer: what it reads, or writes, to make them. In objects,
 * by coordinate; `*` stands for the beginning of a type's name.
 */
export const weights: Readonly<Record<string, number>> = {
  // They read every row that the filter leaves.
  "*Connection.totalCount": 500,
  "*Connection.aggregates": 500,
  "*Connection.groupedAggregates": 500,
  "Account.balance": 5,
  "Account.statement": 20,
  "Account.subtreeBalances": 100,
  "AccountSet.balances": 100,
  "Query.balanceSheet": 1_000,
  "Query.incomeStatement": 1_000,
  "Query.trialBalance": 1_000,
  // They read the whole ledger.
  "Query.verifyLedger": 20_000,
  "Mutation.rebuildBalances": 20_000,
  "Mutation.closePeriod": 5_000,
};

/** A change costs as much as a hundred rows, a subscription as much as a change. */
const rootWeights: Readonly<Record<string, number>> = { Mutation: 100, Subscription: 100 };

/** How long a list is taken to be that neither has pages nor answers an input. */
export const defaultLength = 10;

/** The same where most of them are longer: a row for each account. */
export const assumedLengths: Readonly<Record<string, number>> = {
  "Query.balanceSheet": 200,
  "Query.incomeStatement": 200,
  "Query.trialBalance": 200,
  "PostingConnection.groupedAggregates": 100,
};

/** The weight of a field of a type. */
export function costOfField(type: string, field: string): number {
  const suffix = type.endsWith("Connection") ? weights[`*Connection.${field}`] : undefined;
  return weights[`${type}.${field}`] ?? suffix ?? rootWeights[type] ?? 0;
}
