import { testServers } from "./running.ts";

/** Stops the throw-away server after the last test file. */
export default async function globalTeardown(): Promise<void> {
  for (const server of testServers) await server.stop();
  testServers.clear();
}
