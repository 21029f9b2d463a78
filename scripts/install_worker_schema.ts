/**
 * Installs or upgrades the schema of the job queue, in the worker's name:
 *   node scripts/install_worker_schema.ts postgres://tallystick_owner:…@host/database
 * graphile-migrate runs this before migrations (see .gmrc).
 */
import { installWorkerSchema } from "../src/postgres/bootstrap.ts";

const [url] = process.argv.slice(2);
if (!url) {
  console.error("Give the URL of the database, as its owner or a superuser.");
  process.exit(2);
}
await installWorkerSchema(url);
