import "./graphile.ts";
import { GraphQLError, type GraphQLScalarType, Kind, type ValueNode } from "postgraphile/graphql";

/** 38 digits is what the domain app_public.amount takes; leading zeros and "+" are not how we write numbers. */
const amountForm = /^-?(0|[1-9][0-9]{0,37})$/;
const decimalForm = /^-?(0|[1-9][0-9]{0,59})(\.[0-9]{1,40})?$/;
const int64Form = /^-?(0|[1-9][0-9]{0,18})$/;

/**
 * Whole numbers that JSON numbers cannot hold. A value is taken as a string of digits, or as a JSON number
 * that JSON holds exactly; 1.5, "1e3", " 7 ", "0x10" and 9007199254740993 are refused before any SQL
 * runs. The default would hand the text of any of these to PostgreSQL, rounded or not.
 */
export const StrictNumbersPlugin: GraphileConfig.Plugin = {
  name: "StrictNumbersPlugin",
  version: "1.0.0",
  schema: {
    hooks: {
      GraphQLScalarType(config) {
        if (config.name === "Amount") return { ...config, ...strict(parseAmount, "LG101") };
        if (config.name === "BigInt") {
          return { ...config, description: bigIntDescription, ...strict(parseInt64, "LG160") };
        }
        if (config.name === "BigFloat") return { ...config, ...strict(parseDecimal, "LG160") };
        return config.name === "JSON" ? config : { ...config, ...flat(config) };
      },
    },
  },
};

/**
 * What is written as text is no object. The default makes a text of one, "[object Object]" at best: an object says
 * itself how it becomes a text, or that it cannot.
 */
function flat({ parseValue }: Pick<ScalarConfig, "parseValue">): Pick<ScalarConfig, "parseValue"> {
  return {
    parseValue: (value) => {
      if (typeof value === "object") throw new GraphQLError("A text was expected, no object and no list.");
      return parseValue?.(value);
    },
  };
}

type ScalarConfig = ConstructorParameters<typeof GraphQLScalarType>[0];

const bigIntDescription =
  "A whole number of up to 64 bits, as a string of digits. As input a whole JSON number is taken too.";

function parseAmount(value: unknown): string | undefined {
  const text = digits(value);
  return text !== undefined && amountForm.test(text) ? positiveZero(text) : undefined;
}

function parseInt64(value: unknown): string | undefined {
  const text = digits(value);
  if (text === undefined || !int64Form.test(text) || BigInt.asIntN(64, BigInt(text)) !== BigInt(text)) return undefined;
  return positiveZero(text);
}

/** Rates and ratios: a decimal as text. 0.1 as a JSON number is not 0.1. */
function parseDecimal(value: unknown): string | undefined {
  const text = digits(value);
  return text !== undefined && decimalForm.test(text) ? text : undefined;
}

function digits(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return typeof value === "number" && Number.isSafeInteger(value) ? String(value) : undefined;
}

function positiveZero(text: string): string {
  return text === "-0" ? "0" : text;
}

function strict(parse: (value: unknown) => string | undefined, code: string) {
  const refuse = (shown: unknown, nodes?: ValueNode): never => {
    const value = String(typeof shown === "object" ? JSON.stringify(shown) : shown).slice(0, 60);
    throw new GraphQLError(
      code === "LG101"
        ? "An amount must be a whole number of minor units below 10^38."
        : "A number was expected, as text: digits, and no other form.",
      { ...(nodes ? { nodes } : {}), extensions: { code, detail: { value } } },
    );
  };
  return {
    parseValue: (value: unknown): string => parse(value) ?? refuse(value),
    parseLiteral: (node: ValueNode): string => {
      if (node.kind === Kind.STRING) return parse(node.value) ?? refuse(node.value, node);
      // The digits of a literal are text still: none is lost, however many there are.
      if (node.kind === Kind.INT) return parse(node.value) ?? refuse(node.value, node);
      return refuse("value" in node ? node.value : node.kind, node);
    },
  };
}
