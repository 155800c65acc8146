import { z } from 'zod'
import { allowHostCompat, capturedOutput, command, environmentName, executionMode, memMib, timeoutSeconds, ttlSeconds, vcpuCount } from './fields.ts'
import { operation } from './operation.ts'
import { clearLabels, environmentVariables, labels, networkPolicy, workspaceId, workspaceName, workspacePath } from './sandbox-fields.ts'

/** Seconds since the epoch, with fraction. */
const time = z.number()

export const workspaceSeed = z.object({
  mode: z.enum(['empty', 'directory', 'tar_archive']),
  /** The host's path; null for an empty one. */
  seed_path: z.string().nullable(),
  origin_kind: z.enum(['empty', 'manual_seed_path', 'project_path', 'repo_url']),
  origin_ref: z.string().nullable(),
  git_tracked_only: z.boolean(),
  destination: z.literal('/workspace'),
  entry_count: z.int(),
  bytes_written: z.int(),
  /** What could not be carried: sockets, devices, FIFOs. */
  skipped: z.array(z.object({ path: z.string(), type: z.string() })).optional(),
})

const lastCommand = z.object({
  sequence: z.int(),
  command: z.string(),
  cwd: z.string(),
  /** Null while it runs, and for one whose machine died under it. */
  exit_code: z.int().nullable(),
  duration_ms: z.int(),
  execution_mode: executionMode,
})

export const workspace = z.object({
  workspace_id: z.string(),
  name: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  environment: z.string(),
  environment_version: z.string().nullable(),
  vcpu_count: z.int(),
  mem_mib: z.int(),
  ttl_seconds: z.int(),
  created_at: time,
  last_activity_at: time,
  /** When it is paused unless it is used before. */
  expires_at: time,
  state: z.enum(['created', 'started', 'stopped']),
  network_policy: networkPolicy,
  network_enabled: z.boolean(),
  allow_host_compat: z.boolean(),
  guest_ip: z.string().nullable(),
  tap_name: z.string().nullable(),
  execution_mode: executionMode,
  workspace_path: z.literal('/workspace'),
  workspace_seed: workspaceSeed,
  secrets: z.array(z.object({ name: z.string(), source_kind: z.enum(['literal', 'file']) })),
  command_count: z.int(),
  last_command: lastCommand.nullable(),
  reset_count: z.int(),
  last_reset_at: time.nullable(),
  service_count: z.int(),
  running_service_count: z.int(),
  metadata: z.record(z.string(), z.string()),
})

const listed = workspace
  .pick({ workspace_id: true, name: true, labels: true, environment: true, state: true, created_at: true, last_activity_at: true, expires_at: true, command_count: true, service_count: true, running_service_count: true })
  .extend({
    /** Suspended for want of use: no CPU, everything in it survives. */
    paused: z.boolean(),
    /** When it is deleted unless it is used before; null when that is far. */
    retention_due_at: time.nullable(),
  })

export const createWorkspace = operation({
  name: 'workspace_create',
  summary: 'Create a workspace, a machine of its own that lasts, empty or with your files in /workspace',
  input: z.strictObject({
    environment: environmentName,
    vcpu_count: vcpuCount,
    mem_mib: memMib,
    ttl_seconds: ttlSeconds.describe('Seconds without use after which it is paused'),
    network_policy: networkPolicy.default('off').describe('What the guest may reach'),
    allow_host_compat: allowHostCompat,
    seed_path: z.string().min(1, 'seed_path must not be empty').nullish().describe('Directory, .tar, .tar.gz, .tgz or .tar.zst that /workspace starts with'),
    exclude: z.array(z.string().min(1, 'exclude must not be empty')).optional().describe('Leave out of the seed what matches this gitignore pattern'),
    name: workspaceName.nullish(),
    labels: labels.nullish().describe('Labels, as KEY=VALUE'),
  }),
  output: workspace,
})

export const listWorkspaces = operation({
  name: 'workspace_list',
  summary: 'List the workspaces, the last used first',
  input: z.strictObject({}),
  output: z.object({ count: z.int(), workspaces: z.array(listed) }),
})

export const statusWorkspace = operation({
  name: 'workspace_status',
  summary: 'Show one workspace',
  input: z.strictObject({ workspace_id: workspaceId }),
  output: workspace,
})

export const updateWorkspace = operation({
  name: 'workspace_update',
  summary: 'Rename or relabel a workspace',
  input: z.strictObject({
    workspace_id: workspaceId,
    name: workspaceName.nullish(),
    clear_name: z.boolean().default(false).describe('Take its name away'),
    labels: labels.nullish().describe('Labels to add or change, as KEY=VALUE'),
    clear_labels: clearLabels.nullish().describe('Labels to take away'),
  }),
  output: workspace,
})

/** What a streamed command is told by: enough to take it up again after its connection broke. */
const commandResult = z.object({
  workspace_id: z.string(),
  environment: z.string(),
  environment_version: z.string().nullable(),
  command: z.string(),
  ...capturedOutput,
  exit_code: z.int(),
  timed_out: z.boolean(),
  duration_ms: z.int(),
  execution_mode: executionMode,
  sequence: z.int(),
  cwd: z.string(),
})

export const execWorkspace = operation({
  name: 'workspace_exec',
  summary: 'Run a command in a workspace; its output streams, its exit code is passed on',
  input: z.strictObject({
    workspace_id: workspaceId,
    command,
    timeout_seconds: timeoutSeconds,
    cwd: workspacePath('cwd').default('/workspace').describe('Directory to run it in, made when missing'),
    env: environmentVariables.nullish().describe('Environment variables, as NAME=VALUE'),
    interactive: z.boolean().default(false).describe('Pass stdin on to the command'),
  }),
  output: commandResult,
})

/** Internal: takes up a command whose stream was cut, from the given offsets in its output. */
export const followWorkspace = operation({
  name: 'workspace_follow',
  summary: 'Take up the output of a command',
  input: z.strictObject({ workspace_id: workspaceId, sequence: z.int().min(1), stdout_offset: z.int().min(0).default(0), stderr_offset: z.int().min(0).default(0) }),
  output: commandResult,
})

const logEntry = lastCommand.extend({
  /** `lost`: its machine died before its end was known. */
  state: z.enum(['running', 'ended', 'lost']),
  timed_out: z.boolean(),
  stdout_file: z.string(),
  stderr_file: z.string(),
  recorded_at: time,
  ...capturedOutput,
})

export const logsWorkspace = operation({
  name: 'workspace_logs',
  summary: 'Show the commands that ran in a workspace and what they wrote',
  input: z.strictObject({
    workspace_id: workspaceId,
    sequence: z.int('sequence must be positive').min(1, 'sequence must be positive').nullish().describe('Only this command, with all that was kept of its output'),
    offset: z.int('offset must not be negative').min(0, 'offset must not be negative').default(0).describe('Skip so many bytes of each stream; only with --sequence'),
  }),
  output: z.object({ workspace_id: z.string(), count: z.int(), entries: z.array(logEntry) }),
})

export const stopWorkspace = operation({
  name: 'workspace_stop',
  summary: 'Stop the machine of a workspace; its disk stays',
  input: z.strictObject({ workspace_id: workspaceId }),
  output: workspace,
})

export const startWorkspace = operation({
  name: 'workspace_start',
  summary: 'Start the machine of a stopped workspace',
  input: z.strictObject({ workspace_id: workspaceId }),
  output: workspace,
})

export const deleteWorkspace = operation({
  name: 'workspace_delete',
  summary: 'Delete a workspace and all that is in it',
  input: z.strictObject({ workspace_id: workspaceId }),
  output: z.object({ workspace_id: z.string(), deleted: z.literal(true), reason: z.enum(['explicit_delete', 'prepare_cleanup']) }),
})
