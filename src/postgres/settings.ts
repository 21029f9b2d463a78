/**
 * The settings of the embedded PostgreSQL server, in one place.
 *
 * `durable` is what `npm start` uses: every acknowledged transaction survives a power cut.
 * `throwaway` is for tests and scratch databases: the directory is deleted afterwards, so
 * nothing waits for the disk. Production servers are configured by their operators; the
 * docker-compose file repeats the values that matter.
 */
export type ServerProfile = "durable" | "throwaway";

const everywhere = {
  // Only this machine may connect, over TCP, with a password.
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  password_encryption: "scram-sha-256",
  // The API, the worker, a developer's tools and the tests of one machine.
  max_connections: "120",
  timezone: "UTC",
  // Ledger statements are short: compiling them costs more than it saves.
  jit: "off",
  // Data lives on flash or in memory; the default of 4 is for spinning disks.
  random_page_cost: "1.1",
  // Keep checkpoints rare and spread out, so that they do not show in latencies.
  checkpoint_timeout: "15min",
  checkpoint_completion_target: "0.9",
  // The build from npm has pglz only; it costs processor time just after a checkpoint.
  wal_compression: "on",
  // Row locks taken in key order cannot deadlock; when something else does, say so early.
  deadlock_timeout: "200ms",
  log_lock_waits: "on",
  // Errors reach the client and the API's log; the server's log keeps what nobody else sees.
  log_min_messages: "warning",
  log_line_prefix: "%m [%p] %q%u@%d ",
  shared_preload_libraries: "pg_stat_statements",
} as const;

const byProfile = {
  durable: {
    fsync: "on",
    synchronous_commit: "on",
    full_page_writes: "on",
    shared_buffers: "512MB",
    effective_cache_size: "2GB",
    work_mem: "16MB",
    maintenance_work_mem: "128MB",
    min_wal_size: "256MB",
    max_wal_size: "4GB",
    wal_buffers: "16MB",
  },
  throwaway: {
    fsync: "off",
    synchronous_commit: "off",
    full_page_writes: "off",
    shared_buffers: "128MB",
    effective_cache_size: "1GB",
    work_mem: "16MB",
    maintenance_work_mem: "64MB",
    min_wal_size: "80MB",
    max_wal_size: "1GB",
    // Test databases come and go by the dozen; nobody reads their statistics.
    autovacuum_naptime: "5min",
  },
} as const;

/** The `-c name=value` arguments of the server for a profile; `extra` wins. */
export function serverArguments(profile: ServerProfile, extra: Record<string, string> = {}): string[] {
  const settings: Record<string, string> = { ...everywhere, ...byProfile[profile], ...extra };
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}
