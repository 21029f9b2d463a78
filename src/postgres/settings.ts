/**
 * The settings of the embedded PostgreSQL server, in one place.
 *
 * `durable` is what `npm start` and the bench use: every acknowledged transaction survives a power cut.
 * `throwaway` is for tests and scratch databases: the directory is deleted afterwards, so
 * nothing waits for the disk. Production servers are configured by their operators:
 * docs/performance.md says what to size, and docker-compose.yml repeats `ledgerSettings`.
 */
export type ServerProfile = "durable" | "throwaway";

/** What a server wants on which a ledger is kept, wherever it runs. Memory is for a small machine. */
export const ledgerSettings = {
  // What was answered has been written.
  fsync: "on",
  synchronous_commit: "on",
  full_page_writes: "on",
  // A quarter of a small machine; the system's cache holds the rest.
  shared_buffers: "512MB",
  effective_cache_size: "2GB",
  // A batch of 10,000 sorts in memory.
  work_mem: "16MB",
  maintenance_work_mem: "128MB",
  wal_buffers: "16MB",
  // Keep checkpoints rare and spread out, so that they do not show in latencies: after each, the first
  // change of a page writes all of it to the log.
  min_wal_size: "256MB",
  max_wal_size: "4GB",
  checkpoint_timeout: "15min",
  checkpoint_completion_target: "0.9",
  // The build from npm has pglz only, which takes more processor time than the disk takes to write what it
  // saves: a quarter of all that batches take while pages are changed for the first time after a checkpoint.
  wal_compression: "off",
  // Commits that arrive while the log is being written go together anyhow; nobody waits for company.
  commit_delay: "0",
  // Data lives on flash or in memory; the default of 4 is for spinning disks.
  random_page_cost: "1.1",
  // Ledger statements are short: compiling them costs more than it saves.
  jit: "off",
  // Tables only grow: statistics keep up with the first rush of a new ledger, and pages are marked as
  // visible to all in many small steps rather than in few large ones.
  autovacuum_naptime: "15s",
  autovacuum_analyze_scale_factor: "0.05",
  autovacuum_vacuum_insert_scale_factor: "0.05",
  // Row locks taken in key order cannot deadlock; when something else does, say so early.
  deadlock_timeout: "200ms",
  log_lock_waits: "on",
  shared_preload_libraries: "pg_stat_statements",
} as const;

const embedded = {
  // Only this machine may connect, over TCP, with a password.
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  password_encryption: "scram-sha-256",
  // The API, the worker, a developer's tools and the tests of one machine.
  max_connections: "120",
  timezone: "UTC",
  // Errors reach the client and the API's log; the server's log keeps what nobody else sees.
  log_min_messages: "warning",
  log_line_prefix: "%m [%p] %q%u@%d ",
} as const;

const byProfile: Record<ServerProfile, Record<string, string>> = {
  durable: {},
  throwaway: {
    // Tests run side by side on one server, and some of them are a crowd of a hundred clients.
    max_connections: "400",
    fsync: "off",
    synchronous_commit: "off",
    full_page_writes: "off",
    shared_buffers: "128MB",
    effective_cache_size: "1GB",
    maintenance_work_mem: "64MB",
    wal_buffers: "-1",
    min_wal_size: "80MB",
    max_wal_size: "1GB",
    // Test databases come and go by the dozen; nobody reads their statistics.
    autovacuum_naptime: "5min",
  },
};

/** The `-c name=value` arguments of the server for a profile; `extra` wins. */
export function serverArguments(profile: ServerProfile, extra: Record<string, string> = {}): string[] {
  const settings: Record<string, string> = { ...embedded, ...ledgerSettings, ...byProfile[profile], ...extra };
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}
