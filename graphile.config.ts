import "./src/graphql/graphile.ts";
import { makePgService } from "postgraphile/adaptors/pg";
import { loadConfig } from "./src/config.ts";
import { schemaPreset } from "./src/graphql/preset.ts";

/**
 * For the tools of Graphile, such as `npx graphile config print` and `npx graphile behavior debug`. The
 * server itself is started by src/api.ts, with a pool and a context of its own.
 */
const { apiDatabaseUrl } = loadConfig(process.env);

const preset: GraphileConfig.Preset = {
  extends: [schemaPreset],
  pgServices:
    apiDatabaseUrl === undefined ? [] : [makePgService({ connectionString: apiDatabaseUrl, schemas: ["app_public"] })],
};

export default preset;
