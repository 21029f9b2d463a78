import type { Job, WorkerEvents } from "graphile-worker";
import type pg from "pg";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** What the worker measures about itself and about settlement. A registry of its own for each. */
export function makeWorkerMetrics(pool: pg.Pool, events: WorkerEvents): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  measureJobs(registry, events);
  new Gauge({
    name: "tallystick_circuit_breaker_state",
    help: "1 for the state that the circuit of a payment provider is in. Those that always answered have none.",
    labelNames: ["books", "provider", "state"],
    registers: [registry],
    async collect() {
      const { rows } = await pool.query<{ books: string; provider_code: string; state: string }>(
        "select books, provider_code, state from app_private.circuit_states()",
      );
      this.reset();
      for (const { books, provider_code, state } of rows) this.set({ books, provider: provider_code, state }, 1);
    },
  });
  new Gauge({
    name: "tallystick_dead_letters_open",
    help: "Dead letters that wait for a person.",
    labelNames: ["books", "source"],
    registers: [registry],
    async collect() {
      const { rows } = await pool.query<{ books: string; source: string; letters: number }>(
        "select books, source, letters from app_private.open_dead_letters()",
      );
      this.reset();
      for (const { books, source, letters } of rows) this.set({ books, source }, letters);
    },
  });
  return registry;
}

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

function measureJobs(registry: Registry, events: WorkerEvents): void {
  const lag = new Histogram({
    name: "tallystick_job_lag_seconds",
    help: "Time from when a job was due to when it began.",
    labelNames: ["task"],
    buckets: seconds,
    registers: [registry],
  });
  const duration = new Histogram({
    name: "tallystick_job_seconds",
    help: "Time that a job took, by how it ended.",
    labelNames: ["task", "outcome"],
    buckets: seconds,
    registers: [registry],
  });
  const failed = new Counter({
    name: "tallystick_jobs_failed_for_good_total",
    help: "Jobs that have used up their attempts.",
    labelNames: ["task"],
    registers: [registry],
  });
  const startedAt = new WeakMap<Job, number>();
  events.on("job:start", ({ job }) => {
    startedAt.set(job, performance.now());
    lag.observe({ task: job.task_identifier }, Math.max(0, Date.now() - job.run_at.getTime()) / 1000);
  });
  events.on("job:failed", ({ job }) => failed.inc({ task: job.task_identifier }));
  events.on("job:complete", ({ job, error }) => {
    const ms = performance.now() - (startedAt.get(job) ?? performance.now());
    duration.observe({ task: job.task_identifier, outcome: error ? "error" : "success" }, ms / 1000);
  });
}
