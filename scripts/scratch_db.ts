/**
 * A throw-away server with a freshly migrated database, for trying things out:
 *   npm run db:scratch -- [--port 5501] [--data /tmp/scratch] [--durable] [--no-migrate]
 * Prints the URL of every login and stays until Ctrl-C. A temporary directory is removed.
 */
import { parseArgs } from "node:util";
import { installPgtap, withScratchServer } from "./scratch_server.ts";

const { values } = parseArgs({
  options: {
    port: { type: "string" },
    data: { type: "string" },
    durable: { type: "boolean", default: false },
    "no-migrate": { type: "boolean", default: false },
  },
});

const say = (message: string): void => void process.stderr.write(`${message}\n`);

// The timer keeps the process alive: neither the server nor a signal handler does.
const told = new Promise<void>((done) => {
  const timer = setInterval(() => undefined, 60_000);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      clearInterval(timer);
      done();
    });
  }
});

const options = {
  dataDir: values.data,
  port: values.port === undefined ? undefined : Number(values.port),
  profile: values.durable ? ("durable" as const) : ("throwaway" as const),
  say,
};
try {
  await withScratchServer(options, async ({ server, createDatabase }) => {
    const urls = await createDatabase("tallystick", { migrate: !values["no-migrate"] });
    await installPgtap(urls.superuser);
    for (const [login, url] of Object.entries(urls)) console.log(`${login.padEnd(9)} ${url}`);
    say("Ready. Ctrl-C stops the server.");
    await Promise.race([told, server.died.then((reason) => Promise.reject(new Error(reason)))]);
  });
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
