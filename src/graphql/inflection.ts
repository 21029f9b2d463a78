import "./graphile.ts";

/**
 * Names. Every key of the ledger begins with `tenant_id`, which no client ever sees: it is left out of
 * relation names, so that keys of two columns read as keys of one. Inputs are called as their types in
 * SQL are (`transaction_input` is TransactionInput), enum values are CONSTANT_CASE, `id` is the row's own
 * and `nodeId` is Relay's.
 */
export const TallystickInflectionPlugin: GraphileConfig.Plugin = {
  name: "TallystickInflectionPlugin",
  version: "1.0.0",
  inflection: {
    replace: {
      nodeIdFieldName: () => "nodeId",
      enumValue: (previous, _options, value, codec) =>
        (previous?.(value, codec) ?? value).replaceAll("-", "_").toUpperCase(),
      // Relay's field has another name here, so a column `id` need not make way for it. A column that
      // holds a currency's code is `currencyCode`, so that `currency` can be the currency itself.
      _attributeName(previous, _options, details) {
        const name = details.codec.attributes[details.attributeName]?.extensions?.tags?.["name"];
        if (details.attributeName === "id" && name === undefined) return "id";
        if (/(^|_)currency$/.test(details.attributeName) && name === undefined && !isInputCodec(details.codec)) {
          return `${details.attributeName}_code`;
        }
        return previous?.(details) ?? details.attributeName;
      },
      _joinAttributeNames: (previous, _options, codec, names) => {
        const own = names.filter((name) => name !== "tenant_id");
        return previous?.(codec, own.length > 0 ? own : names) ?? own.join("-and-");
      },
      _getBaseNameFromKeys(previous, _options, keys) {
        const own = keys.filter((key) => key.attributeName !== "tenant_id");
        return previous?.(own.length > 0 ? own : keys) ?? null;
      },
      // An SQL type `transaction_input` is the input TransactionInput; the row type that PostGraphile makes
      // beside it (TransactionInputRecord) is never shown. Rows are not inserted through the API either,
      // so the row of a table makes way for an input of the same name.
      inputType(previous, _options, typeName) {
        if (/InputRecord$/.test(typeName)) return typeName.replace(/Record$/, "");
        return namesTaken.has(typeName) ? `${typeName}RowInput` : (previous?.(typeName) ?? `${typeName}Input`);
      },
      // `openAccount { account }`, `postTransactions { results }`, otherwise `result`.
      functionMutationResultFieldName(_previous, _options, details) {
        const { codec, extensions, isList } = details.resource;
        const given = extensions?.tags?.["resultFieldName"];
        if (typeof given === "string") return given;
        if (codec.arrayOfCodec || isList) return "results";
        return codec.attributes && codec.extensions?.isTableLike ? this.camelCase(this.tableType(codec)) : "result";
      },
    },
  },
};

function isInputCodec(codec: { name: string }): boolean {
  return /input$/i.test(codec.name);
}

/** Tables that share their name with an input type. */
const namesTaken = new Set([
  "FeeSchedule",
  "FeeTier",
  "Holiday",
  "Merchant",
  "Payment",
  "Plan",
  "Posting",
  "SplitShare",
  "Transaction",
]);
