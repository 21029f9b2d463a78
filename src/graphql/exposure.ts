import "./graphile.ts";
import { TYPES } from "postgraphile/@dataplan/pg";
import { rememberBehaviors } from "./behaviors.ts";

/**
 * Deny by default. A table is only there for relations until its comment opens it with `@behavior`; a
 * column takes no filter and no order until its comment does; nothing is written but by functions.
 */
export const defaultBehavior = [
  "-query:resource:list -query:resource:connection -query:resource:single",
  // Else `node(nodeId:)` would find the rows of any table.
  "-type:node",
  "-resource:insert -resource:update -resource:delete",
  "-attribute:filterBy -attribute:orderBy -attribute:groupBy",
  "-resource:aggregates -resource:groupedAggregates -resource:groupedAggregates:having",
  "-manyRelation:aggregates:orderBy -resource:aggregates:filterBy -resource:relatedAggregates:orderBy",
  "-resource:connection:backwards",
  // Sums only of the columns whose comment says so.
  "-sum:attribute:aggregate -sum:resource:aggregate",
].join(" ");

/** What is never shown, whatever a comment says: the tenant, which comes from the token; inner functions. */
export const ExposurePlugin: GraphileConfig.Plugin = {
  name: "ExposurePlugin",
  version: "1.0.0",
  gather: {
    hooks: {
      // PostGraphile does not know the type of transactions.xact_id, a column that is hidden anyway.
      pgCodecs_findPgCodec(_info, event) {
        if (event.pgCodec === null && event.pgType.typname === "xid8") event.pgCodec = TYPES.text;
      },
    },
  },
  schema: {
    entityBehavior: {
      pgCodecAttribute: {
        override: {
          provides: ["hide-tenant"],
          after: ["override"],
          callback: (behavior, [_codec, attributeName]) =>
            attributeName === "tenant_id" ? [behavior, "-*"] : behavior,
        },
      },
      pgResource: {
        override: {
          provides: ["no-row-arguments"],
          after: ["override"],
          // A function of a row is a field of its type, never a query of its own that takes a row. What is made to
          // be sent, `payment_input` and the like, is no row.
          callback: (behavior, { parameters, isMutation }) => {
            const codec = parameters?.[0]?.codec;
            const isOfRow = codec?.attributes !== undefined && !/input$/i.test(codec.name);
            return isOfRow && !isMutation ? [behavior, "-queryField"] : behavior;
          },
        },
      },
      pgCodecRelation: {
        override: {
          provides: ["hide-tenant"],
          after: ["override"],
          callback(behavior, relation) {
            const isOfTenant =
              relation.localCodec.name === "tenants" || relation.remoteResource.codec.name === "tenants";
            return isOfTenant ? [behavior, "-*"] : behavior;
          },
        },
      },
    },
    hooks: {
      init: {
        // The first that asks for behaviors.
        before: ["PgCodecs"],
        callback(known, { behavior }) {
          rememberBehaviors(behavior);
          return known;
        },
      },
      // `node(nodeId:)` finds everything; a field for each type beside it would say nothing new.
      GraphQLObjectType_fields(fields, _build, { scope }) {
        if (!scope.isRootQuery) return fields;
        return Object.fromEntries(Object.entries(fields).filter(([name]) => !name.endsWith("ByNodeId")));
      },
    },
  },
};
