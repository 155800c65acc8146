import type { OutputOf } from '../../../contract/operation.ts'
import type { statusWorkspace } from '../../../contract/workspaces.ts'
import { escaped } from '../../render.ts'
import { readableTime } from '../../times.ts'

export type Workspace = OutputOf<typeof statusWorkspace>

/** A workspace as a person reads it. `title` is such as `Workspace ID`. */
export function block(title: string, workspace: Workspace): string[] {
  const { labels, secrets, last_command: last } = workspace
  const rows: [string, string | undefined][] = [
    [title, workspace.workspace_id],
    ['Name', workspace.name === null ? undefined : escaped(workspace.name)],
    ['Labels', labelList(labels, ', ') || undefined],
    ['Environment', workspace.environment],
    ['State', stateText(workspace)],
    ['Error', workspace.metadata['error'] === undefined ? undefined : escaped(workspace.metadata['error'])],
    ['Workspace', workspace.workspace_path],
    ['Last activity at', readableTime(workspace.last_activity_at)],
    ['Pauses at', workspace.state === 'started' && !isPaused(workspace) ? `${readableTime(workspace.expires_at)}, unless it is used` : undefined],
    ['Network policy', workspace.network_policy],
    ['Workspace seed', seedText(workspace.workspace_seed)],
    ['Secrets', secrets.map(({ name, source_kind }) => `${name} (${source_kind})`).join(', ') || undefined],
    ['Execution mode', workspace.execution_mode],
    ['Resources', `${workspace.vcpu_count} vCPU / ${workspace.mem_mib} MiB`],
    ['Command count', String(workspace.command_count)],
    ['Reset count', String(workspace.reset_count)],
    ['Last reset at', workspace.last_reset_at === null ? undefined : readableTime(workspace.last_reset_at)],
    ['Services', `${workspace.running_service_count}/${workspace.service_count} running`],
    ['Last command', last ? `${escaped(last.command)} (exit_code=${last.exit_code ?? 'none'})` : undefined],
  ]
  return rows.flatMap(([label, value]) => (value === undefined ? [] : [`${label}: ${value}`]))
}

/** `k=v` of each label, sorted by key. */
export function labelList(labels: Record<string, string>, separator: string): string {
  return Object.entries(labels)
    .map(([key, value]) => escaped(`${key}=${value}`))
    .sort()
    .join(separator)
}

const stopped: Record<string, string> = {
  memory: 'stopped (memory was short; the next use starts it)',
  host: 'stopped (its host went down; the next use starts it)',
  vmm: 'stopped (its machine died; pyro workspace start starts it)',
}

function stateText(workspace: Workspace): string {
  if (isPaused(workspace)) return `${workspace.state} (paused; the next use wakes it)`
  return workspace.state === 'stopped' ? (stopped[workspace.metadata['stopped_by'] ?? ''] ?? workspace.state) : workspace.state
}

function isPaused({ metadata }: Workspace): boolean {
  return metadata['paused'] === 'true'
}

const origins: Record<Workspace['workspace_seed']['origin_kind'], string | undefined> = {
  empty: undefined,
  manual_seed_path: 'from',
  project_path: 'from project',
  repo_url: 'from clean clone',
}

function seedText({ mode, origin_kind, origin_ref, seed_path, git_tracked_only }: Workspace['workspace_seed']): string {
  const origin = origins[origin_kind]
  if (origin === undefined) return mode
  const tracked = origin_kind === 'project_path' && git_tracked_only ? ' (Git-tracked files)' : ''
  return `${mode} ${origin} ${escaped(origin_ref ?? seed_path ?? '')}${tracked}`
}
