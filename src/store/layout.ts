import type { Connection } from './connection.ts'
import { count, type Fields, flag, integer, json, nullable, object, oneOf, text, texts, time } from './fields.ts'
import type { CommandRow, EventRow, IntentRow, MachineRow, SandboxRow, WorkspaceSeed } from './rows.ts'

/** Takes a database from one layout to the next, within a transaction that others share. Layout 0 is an empty file. */
export type Migration = (connection: Pick<Connection, 'exec' | 'run' | 'all'>) => void

/**
 * How the database came to be as it is; entry n makes layout n + 1. An entry never changes once it has been released: databases of
 * its layout are about. A change of layout is a new entry and an entry's fields below.
 */
export const migrations: readonly Migration[] = [
  (connection) =>
    connection.exec(`
      CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

      CREATE TABLE sandboxes (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT, labels TEXT NOT NULL,
        environment TEXT NOT NULL, environment_version TEXT, environment_digest TEXT,
        vcpu_count INTEGER NOT NULL, mem_mib INTEGER NOT NULL, ttl_seconds INTEGER NOT NULL,
        created_at REAL NOT NULL, last_activity_at REAL NOT NULL, expires_at REAL NOT NULL,
        state TEXT NOT NULL, paused INTEGER NOT NULL, stopped_by TEXT, error TEXT,
        network_policy TEXT NOT NULL, allow_host_compat INTEGER NOT NULL, execution_mode TEXT NOT NULL, vmm TEXT, machine_id TEXT,
        seed TEXT NOT NULL, seed_digest TEXT,
        epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, checkpoint INTEGER NOT NULL,
        reset_count INTEGER NOT NULL, last_reset_at REAL, retention_due_at REAL, clean_stop INTEGER NOT NULL
      ) STRICT;

      CREATE TABLE machines (
        id TEXT PRIMARY KEY, sandbox_id TEXT, kind TEXT NOT NULL, vmm TEXT NOT NULL, created_at REAL NOT NULL, details TEXT NOT NULL
      ) STRICT;
      CREATE INDEX machines_by_sandbox ON machines (sandbox_id);

      CREATE TABLE commands (
        sandbox_id TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
        exec_id TEXT NOT NULL, machine_id TEXT NOT NULL, command TEXT NOT NULL, cwd TEXT NOT NULL,
        state TEXT NOT NULL, exit_code INTEGER, timed_out INTEGER NOT NULL, duration_ms INTEGER NOT NULL,
        execution_mode TEXT NOT NULL, recorded_at REAL NOT NULL,
        stdout_bytes INTEGER NOT NULL, stderr_bytes INTEGER NOT NULL, timeout_seconds INTEGER NOT NULL,
        PRIMARY KEY (sandbox_id, epoch, sequence)
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, sandbox_id TEXT REFERENCES sandboxes (id) ON DELETE CASCADE, epoch INTEGER NOT NULL,
        kind TEXT NOT NULL, recorded_at REAL NOT NULL, payload TEXT NOT NULL
      ) STRICT;
      CREATE INDEX events_by_sandbox ON events (sandbox_id, epoch, id);

      CREATE TABLE intents (
        id TEXT PRIMARY KEY, sandbox_id TEXT NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL, created_at REAL NOT NULL
      ) STRICT;
      CREATE INDEX intents_by_sandbox ON intents (sandbox_id);
    `),
]

const seed = json((value): WorkspaceSeed => {
  const { mode, origin_kind, git_tracked_only, seed_path, origin_ref, entry_count, bytes_written, skipped } = object(value)
  oneOf('empty', 'directory', 'tar_archive').check(mode)
  oneOf('empty', 'manual_seed_path', 'project_path', 'repo_url').check(origin_kind)
  flag.check(git_tracked_only)
  for (const place of [seed_path, origin_ref]) nullable(text).check(place)
  for (const number of [entry_count, bytes_written]) count.check(number)
  if (skipped !== undefined) {
    if (!Array.isArray(skipped)) throw new Error('is not a list of what was skipped')
    for (const entry of skipped) texts(entry)
  }
  return value as WorkspaceSeed
})

export const sandboxFields: Fields<SandboxRow> = {
  id: text,
  kind: oneOf('workspace', 'vm'),
  name: nullable(text),
  labels: json(texts),
  environment: text,
  environmentVersion: nullable(text),
  environmentDigest: nullable(text),
  vcpuCount: count,
  memMib: count,
  ttlSeconds: count,
  createdAt: time,
  lastActivityAt: time,
  expiresAt: time,
  state: oneOf('created', 'started', 'stopped'),
  paused: flag,
  stoppedBy: nullable(oneOf('user', 'memory', 'host', 'vmm')),
  error: nullable(text),
  networkPolicy: text,
  allowHostCompat: flag,
  executionMode: text,
  vmm: nullable(text),
  machineId: nullable(text),
  seed,
  seedDigest: nullable(text),
  epoch: count,
  sequence: count,
  checkpoint: count,
  resetCount: count,
  lastResetAt: nullable(time),
  retentionDueAt: nullable(time),
  cleanStop: flag,
}

export const machineFields: Fields<MachineRow> = {
  id: text,
  sandboxId: nullable(text),
  kind: oneOf('sandbox', 'warm'),
  vmm: text,
  createdAt: time,
  details: json(object),
}

export const commandFields: Fields<CommandRow> = {
  sandboxId: text,
  epoch: count,
  sequence: count,
  execId: text,
  machineId: text,
  command: text,
  cwd: text,
  state: oneOf('running', 'ended', 'lost'),
  exitCode: nullable(integer),
  timedOut: flag,
  durationMs: count,
  executionMode: text,
  recordedAt: time,
  stdoutBytes: count,
  stderrBytes: count,
  timeoutSeconds: count,
}

export const eventFields: Fields<EventRow> = {
  id: count,
  sandboxId: nullable(text),
  epoch: count,
  kind: text,
  recordedAt: time,
  payload: json(object),
}

export const intentFields: Fields<IntentRow> = {
  id: text,
  sandboxId: text,
  kind: text,
  payload: json(object),
  createdAt: time,
}
