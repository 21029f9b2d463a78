import { testServers } from "./running.ts";
import { startTestServer } from "./server.ts";

/** Jest runs this once, before the test processes start: they inherit the environment. */
export default async function globalSetup(): Promise<void> {
  const server = await startTestServer();
  testServers.add(server);
  // As the server sets it for itself; jest evaluates Graphile's libraries before src/graphql/environment.ts.
  process.env["GRAPHILE_ENV"] ??= "production";
  process.env["TALLYSTICK_TEST_SERVER"] = JSON.stringify(server.address);
}
