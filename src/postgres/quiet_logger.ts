import { Logger } from "graphile-worker";

/** Passes on warnings and errors of a Graphile tool, and keeps its chatter to itself. */
export const quietWorkerLogger = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") process.stderr.write(`${message}\n`);
});
