import type { OperationName } from '../contract/operations.ts'

/** How an operation on a workspace goes together with others on the same one, and what it means for the workspace. */
export interface Exclusion {
  /**
   * `none`: takes no part, it only looks at or changes the record. `shared`: at the same time as others that share.
   * `exclusive`: alone.
   */
  access: 'none' | 'shared' | 'exclusive'
  /** Changes the disk: waits for a pending checkpoint, and is followed by one. */
  changes: boolean
  /** Needs the guest: wakes a paused machine, and starts one that memory pressure stopped. */
  wakes: boolean
  /** Renews `expires_at`. */
  renews: boolean
  /** Moves `last_activity_at`. */
  activity: boolean
  /** Ends the running machine: does not wait for commands, it ends them. */
  ends?: true
}

/** Only the record is read. */
const looks: Exclusion = { access: 'none', changes: false, wakes: false, renews: false, activity: false }
/** The record is changed or its use noted, without the guest. */
const notes: Exclusion = { access: 'none', changes: false, wakes: false, renews: true, activity: true }
/** The guest is asked. */
const reads: Exclusion = { access: 'shared', changes: false, wakes: true, renews: true, activity: false }
/** The guest does something that its disk may keep. */
const works: Exclusion = { access: 'shared', changes: true, wakes: true, renews: true, activity: true }
/** The drives are given to a throwaway machine while the workspace is stopped. */
const opensDisk: Exclusion = { access: 'exclusive', changes: false, wakes: false, renews: true, activity: false }

type WorkspaceOperation = Exclude<Extract<OperationName, `workspace_${string}`>, 'workspace_list'>

/** Every operation that concerns one workspace, those of later contracts included. */
export const exclusions = {
  workspace_status: looks,
  workspace_summary: looks,
  workspace_logs: looks,
  snapshot_list: looks,
  service_list: looks,
  service_status: looks,

  workspace_update: notes,

  workspace_create: { access: 'exclusive', changes: true, wakes: false, renews: true, activity: true },
  // Shared: it would otherwise wait for the commands of a workspace that is started already.
  workspace_start: works,
  workspace_stop: { access: 'exclusive', changes: true, wakes: false, renews: true, activity: true, ends: true },
  workspace_reset: { access: 'exclusive', changes: true, wakes: false, renews: true, activity: true, ends: true },
  workspace_delete: { access: 'exclusive', changes: false, wakes: false, renews: false, activity: false, ends: true },
  workspace_undo: { access: 'exclusive', changes: true, wakes: true, renews: true, activity: true, ends: true },
  // The source of a fork is read from, frozen.
  workspace_fork: { access: 'exclusive', changes: false, wakes: false, renews: true, activity: false },

  workspace_exec: works,
  // What a command writes is kept on the host: its machine may be held, or gone.
  workspace_follow: { ...reads, wakes: false },
  workspace_sync_push: works,
  workspace_patch_apply: works,
  workspace_file_write: works,
  workspace_file_list: reads,
  workspace_file_read: reads,
  workspace_diff: reads,
  workspace_export: reads,

  workspace_disk_list: opensDisk,
  workspace_disk_read: opensDisk,
  workspace_disk_export: opensDisk,

  snapshot_create: works,
  snapshot_delete: works,

  shell_open: works,
  shell_write: works,
  shell_signal: works,
  shell_close: works,
  shell_read: reads,

  service_start: works,
  service_stop: works,
  // The contract counts it as use, unlike the other ways of looking at a service.
  service_logs: notes,
} as const satisfies Record<WorkspaceOperation, Exclusion> & Record<string, Exclusion>
