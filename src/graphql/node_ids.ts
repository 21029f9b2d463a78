import "./graphile.ts";
import { access, constant, context, inhibitOnNull, list } from "postgraphile/grafast";

/**
 * Relay's node ids without the tenant: `nodeId` encodes the type and the rest of the key, and the tenant
 * is that of the token. So a node id of other books finds nothing here, by construction.
 */
export const TenantFreeNodeIdsPlugin: GraphileConfig.Plugin = {
  name: "TenantFreeNodeIdsPlugin",
  version: "1.0.0",
  after: ["PgTableNodePlugin"],
  schema: {
    hooks: {
      init: {
        after: ["PgTableNodePlugin"],
        callback(_, build) {
          const handlers = build.getNodeIdHandlerByTypeName?.() ?? {};
          for (const resource of Object.values(build.input.pgRegistry.pgResources)) {
            const key = resource.uniques.find((unique) => unique.isPrimary)?.attributes as string[] | undefined;
            if (resource.parameters || !resource.codec.attributes || key?.[0] !== "tenant_id") continue;
            const typeName = build.inflection.tableType(
              resource.codec as Parameters<typeof build.inflection.tableType>[0],
            );
            const handler = handlers[typeName];
            if (!handler) continue;
            const own = key.slice(1);
            Object.assign(handler, {
              plan: ($record: { get(attribute: string): ReturnType<typeof constant> }) =>
                list([constant(typeName, false), ...own.map((attribute) => $record.get(attribute))]),
              getSpec: ($list: ReturnType<typeof constant>) => ({
                tenant_id: inhibitOnNull(context().get("tenantId")),
                ...Object.fromEntries(own.map((name, index) => [name, inhibitOnNull(access($list, [index + 1]))])),
              }),
              match: (specifier: unknown[]) => specifier[0] === typeName,
            });
          }
          return _;
        },
      },
    },
  },
};
