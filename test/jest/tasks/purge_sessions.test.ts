import { expect, test } from "@jest/globals";
import { addJob, queuedJobs, runDueJobs, workerPool } from "../../support/jobs.ts";
import { openTenant } from "../../support/ledger.ts";
import { ensureSession, staff } from "../../support/session.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* The job that removes what has been over for long, run by graphile-worker as in production. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);

test("what has been over for long is removed, in as many batches as it takes", async () => {
  const tenantId = await openTenant(owner);
  await ensureSession(owner, { tenantId, role: "teller", userId: staff });
  await owner.query(
    `insert into app_private.sessions (tenant_id, user_id, role, kind, created_at, expires_at)
     select $1, $2, 'teller', 'login', now() - interval '500 days', now() - interval '450 days'
     from generate_series(1, 2500)`,
    [tenantId, staff],
  );
  await owner.query(
    `insert into app_private.refresh_tokens (token_hash, session_id, expires_at)
     select sha256(s.id::text::bytea), s.id, s.expires_at from app_private.sessions s where s.expires_at < now()`,
  );
  await addJob(worker, "identity/purge_sessions");
  await runDueJobs(worker);
  expect(await queuedJobs(worker)).toEqual([]);
  const { rows } = await owner.query(
    `select (select count(*) from app_private.sessions where expires_at < now()) as ended,
       (select count(*) from app_private.sessions where user_id = $1) > 0 as kept,
       (select count(*) from app_private.refresh_tokens) as tokens`,
    [staff],
  );
  expect(rows).toEqual([{ ended: "0", kept: true, tokens: "0" }]);
  await addJob(worker, "identity/purge_sessions");
  await runDueJobs(worker);
});
