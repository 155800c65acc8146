import type { OutputOf } from '../../contract/operation.ts'
import type { listWorkspaces, logsWorkspace, statusWorkspace } from '../../contract/workspaces.ts'
import type { CommandRow, SandboxRow } from '../../store/rows.ts'
import { now } from '../clock.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'

type Workspace = OutputOf<typeof statusWorkspace>
type Listed = OutputOf<typeof listWorkspaces>['workspaces'][number]
type LastCommand = Workspace['last_command']
export type LogEntry = OutputOf<typeof logsWorkspace>['entries'][number]

/** A workspace as the contract tells it. */
export function workspacePayload(orchestrator: Orchestrator, row: SandboxRow): Workspace {
  const [last] = orchestrator.store.commands(row.id, { newest: true, limit: 1 })
  return {
    workspace_id: row.id,
    name: row.name,
    labels: sorted(row.labels),
    environment: row.environment,
    environment_version: row.environmentVersion,
    vcpu_count: row.vcpuCount,
    mem_mib: row.memMib,
    ttl_seconds: row.ttlSeconds,
    created_at: row.createdAt,
    last_activity_at: row.lastActivityAt,
    expires_at: expiry(orchestrator, row),
    state: row.state,
    network_policy: row.networkPolicy as Workspace['network_policy'],
    network_enabled: false,
    allow_host_compat: row.allowHostCompat,
    guest_ip: null,
    tap_name: null,
    execution_mode: row.executionMode as Workspace['execution_mode'],
    workspace_path: '/workspace',
    workspace_seed: row.seed,
    secrets: [],
    command_count: row.sequence,
    last_command: last ? commandPayload(last) : null,
    reset_count: row.resetCount,
    last_reset_at: row.lastResetAt,
    service_count: 0,
    running_service_count: 0,
    metadata: metadata(row, orchestrator.sandboxes.get(row.id)?.live?.stalled ?? false),
  }
}

export function listedPayload(orchestrator: Orchestrator, row: SandboxRow): Listed {
  return {
    workspace_id: row.id,
    name: row.name,
    labels: sorted(row.labels),
    environment: row.environment,
    state: row.state,
    created_at: row.createdAt,
    last_activity_at: row.lastActivityAt,
    expires_at: expiry(orchestrator, row),
    command_count: row.sequence,
    service_count: 0,
    running_service_count: 0,
    paused: row.paused,
    retention_due_at: row.retentionDueAt,
  }
}

export function commandPayload(row: CommandRow): NonNullable<LastCommand> {
  return {
    sequence: row.sequence,
    command: row.command,
    cwd: row.cwd,
    exit_code: row.exitCode,
    duration_ms: row.state === 'running' ? Math.max(0, Math.round((now() - row.recordedAt) * 1000)) : row.durationMs,
    execution_mode: row.executionMode as Workspace['execution_mode'],
  }
}

/** While something goes on in it, its time does not run. */
function expiry({ sandboxes }: Orchestrator, { id, expiresAt, ttlSeconds }: SandboxRow): number {
  return sandboxes.get(id)?.uses ? Math.max(expiresAt, now() + ttlSeconds) : expiresAt
}

function metadata({ vmm, environmentDigest, environmentVersion, paused, stoppedBy, error, checkpoint, cleanStop, state }: SandboxRow, stalled: boolean): Record<string, string> {
  const facts: Record<string, string | null | false> = {
    vmm,
    environment_digest: environmentDigest,
    environment_version: environmentVersion,
    paused: paused && 'true',
    waits_for_space: stalled && 'true',
    stopped_by: stoppedBy,
    error,
    last_checkpoint: checkpoint > 0 && String(checkpoint),
    clean_stop: state === 'stopped' && String(cleanStop),
  }
  return Object.fromEntries(Object.entries(facts).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}

function sorted(labels: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
}
