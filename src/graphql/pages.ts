import "./graphile.ts";
import { lambda, SafeError, type Step } from "postgraphile/grafast";

export const defaultPageSize = 20;
export const maxPageSize = 100;

/**
 * Pages: 20 rows unless the caller says otherwise, 100 at most, forwards from a cursor. `offset` is left
 * out: it reads everything that it skips. Backwards pages are off by behaviour: they sort the other way
 * round, and nothing here needs them.
 */
export const PagesPlugin: GraphileConfig.Plugin = {
  name: "PagesPlugin",
  version: "1.0.0",
  schema: {
    hooks: {
      GraphQLObjectType_fields_field_args(args, _build, { scope }) {
        if (!scope.isPgFieldConnection && !scope.isPgFieldSimpleCollection) return args;
        const { offset: _offset, first, ...rest } = args;
        // A function whose answer is one thing, such as all checks, is not cut into pages.
        const isWhole = scope.isPgFieldSimpleCollection && scope.pgFieldResource?.extensions?.tags?.["allRows"];
        return isWhole || !first ? rest : { ...rest, first };
      },
      GraphQLObjectType_fields_field_args_arg(arg, _build, { scope }) {
        if (!scope.isPgFieldConnection && !scope.isPgFieldSimpleCollection) return arg;
        if (scope.argName !== "first") return arg;
        return {
          ...arg,
          description: `How many rows, ${maxPageSize} at most.`,
          // The plan of an argument runs only if it has a value: the default is what bounds the rest.
          defaultValue: defaultPageSize,
          applyPlan(_$parent, $connection: PagedStep, value) {
            $connection.setFirst(lambda(value.getRaw() as Step<number | null | undefined>, checkPageSize, true));
          },
        };
      },
    },
  },
};

interface PagedStep extends Step {
  setFirst(first: Step<number>): void;
}

function checkPageSize(first: number | null | undefined): number {
  const size = first ?? defaultPageSize;
  if (size < 0 || size > maxPageSize) {
    throw new SafeError(`A page holds 0 to ${maxPageSize} rows.`, {
      code: "LG161",
      detail: { first: size, maximum: maxPageSize },
    });
  }
  return size;
}
