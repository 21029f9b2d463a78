import type { TestServer } from "./server.ts";

// On the global object, because jest may load the set-up and the teardown as separate modules.
const shared = globalThis as { tallystickTestServers?: Set<TestServer> };
shared.tallystickTestServers ??= new Set();

/** The servers that the set-up started and the teardown stops. */
export const testServers: Set<TestServer> = shared.tallystickTestServers;
