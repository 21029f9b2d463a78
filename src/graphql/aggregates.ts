import "./graphile.ts";

/** What postings may be grouped by: few groups each, and days rather than instants. */
const groups = new Set(["ACCOUNT_ID", "CURRENCY_CODE", "DIRECTION", "EFFECTIVE_AT_TRUNCATED_TO_DAY"]);

/**
 * Aggregates read every row that the filter leaves, so there are few of them: sums, by account, currency,
 * side and day. The statement timeout of the role bounds them; reports are functions of their own.
 */
export const AggregatesPlugin: GraphileConfig.Plugin = {
  name: "AggregatesPlugin",
  version: "1.0.0",
  schema: {
    hooks: {
      build: {
        after: ["aggregates"],
        callback(build) {
          const specs = build.pgAggregateSpecs ?? [];
          specs.splice(0, specs.length, ...specs.filter(({ id }) => id === "sum"));
          return build;
        },
      },
      GraphQLEnumType_values: {
        // After the plugins that add the values.
        after: ["aggregates", "PgOrderAllAttributesPlugin"],
        callback(values, build, { scope }) {
          if (scope.isPgAggregateGroupEnum) return keep(values, (name) => groups.has(name));
          if (!scope.isPgRowSortEnum || !scope.pgCodec?.attributes) return values;
          // The aggregates plugin groups by what can be ordered by; these columns have no index for that.
          const hidden = Object.entries(scope.pgCodec.attributes)
            .filter(([, attribute]) => attribute.extensions?.tags?.["groupOnly"])
            .map(([name]) =>
              build.inflection.constantCase(
                build.inflection.attribute({ codec: scope.pgCodec as never, attributeName: name }),
              ),
            );
          return keep(
            values,
            (name) => !hidden.some((prefix) => name === `${prefix}_ASC` || name === `${prefix}_DESC`),
          );
        },
      },
    },
  },
};

function keep<T extends object>(values: T, wanted: (name: string) => boolean): T {
  return Object.fromEntries(Object.entries(values).filter(([name]) => wanted(name))) as T;
}
