import { testServers } from "./running.ts";
import { startTestServer } from "./server.ts";

/** Jest runs this once, before the test processes start: they inherit the environment. */
export default async function globalSetup(): Promise<void> {
  const server = await startTestServer();
  testServers.add(server);
  process.env["TALLYSTICK_TEST_SERVER"] = JSON.stringify(server.address);
}
