import { doctor } from './doctor.ts'
import { inspectEnvironment, listEnvironments, pruneEnvironments, pullEnvironment } from './environments.ts'
import type { Operation } from './operation.ts'
import { run } from './run.ts'
import { createVm, deleteVm, execVm, networkInfoVm, reapVms, startVm, statusVm, stopVm } from './vms.ts'
import {
  createWorkspace,
  deleteWorkspace,
  execWorkspace,
  followWorkspace,
  listWorkspaces,
  logsWorkspace,
  startWorkspace,
  statusWorkspace,
  stopWorkspace,
  updateWorkspace,
} from './workspaces.ts'

/** Every operation that the daemon serves and an embedded engine carries out, by its name. */
export const operations = {
  vm_run: run,
  vm_create: createVm,
  vm_start: startVm,
  vm_exec: execVm,
  vm_stop: stopVm,
  vm_delete: deleteVm,
  vm_status: statusVm,
  vm_network_info: networkInfoVm,
  vm_reap_expired: reapVms,
  vm_list_environments: listEnvironments,
  env_pull: pullEnvironment,
  env_inspect: inspectEnvironment,
  env_prune: pruneEnvironments,
  doctor,
  workspace_create: createWorkspace,
  workspace_list: listWorkspaces,
  workspace_status: statusWorkspace,
  workspace_update: updateWorkspace,
  workspace_exec: execWorkspace,
  workspace_follow: followWorkspace,
  workspace_logs: logsWorkspace,
  workspace_stop: stopWorkspace,
  workspace_start: startWorkspace,
  workspace_delete: deleteWorkspace,
} as const satisfies Record<string, Operation>

export type OperationName = keyof typeof operations
export type OperationNamed<Name extends OperationName> = (typeof operations)[Name]
