import type { InputOf, OutputOf } from '../contract/operation.ts'
import type { OperationName, OperationNamed } from '../contract/operations.ts'
import type { CallOptions, Engine } from './engine.ts'
import type { Handler } from './handler.ts'

type Stateless<Name extends OperationName> = (engine: Engine, input: InputOf<OperationNamed<Name>>, options: CallOptions) => Promise<OutputOf<OperationNamed<Name>>>

/** Operations of the engine alone, which checks their input, too. */
function stateless<Name extends OperationName>(operation: Stateless<Name>): Handler<Name> {
  return (orchestrator, input, call) => operation(orchestrator, input as InputOf<OperationNamed<Name>>, call)
}

/** What is behind every operation, loaded when it is first called. */
export const handlers: { [Name in OperationName]: () => Promise<Handler<Name>> } = {
  vm_run: async () => stateless<'vm_run'>((await import('./run.ts')).runInVm),
  vm_create: async () => (await import('./vm/operations.ts')).createVm,
  vm_start: async () => (await import('./vm/operations.ts')).startVm,
  vm_exec: async () => (await import('./vm/operations.ts')).execVm,
  vm_stop: async () => (await import('./vm/operations.ts')).stopVm,
  vm_delete: async () => (await import('./vm/operations.ts')).deleteVm,
  vm_status: async () => (await import('./vm/operations.ts')).statusVm,
  vm_network_info: async () => (await import('./vm/operations.ts')).networkInfoVm,
  vm_reap_expired: async () => (await import('./vm/operations.ts')).reapVms,
  vm_list_environments: async () => stateless<'vm_list_environments'>((await import('./environment/operations.ts')).listEnvironments),
  env_pull: async () => stateless<'env_pull'>((await import('./environment/operations.ts')).pullEnvironment),
  env_inspect: async () => stateless<'env_inspect'>((await import('./environment/operations.ts')).inspectEnvironment),
  env_prune: async () => stateless<'env_prune'>((await import('./environment/operations.ts')).pruneEnvironments),
  doctor: async () => stateless<'doctor'>((await import('./doctor/doctor.ts')).diagnose),
  workspace_create: async () => (await import('./workspace/create.ts')).createWorkspace,
  workspace_list: async () => (await import('./workspace/records.ts')).listWorkspaces,
  workspace_status: async () => (await import('./workspace/records.ts')).statusWorkspace,
  workspace_update: async () => (await import('./workspace/records.ts')).updateWorkspace,
  workspace_exec: async () => (await import('./workspace/exec.ts')).execWorkspace,
  workspace_follow: async () => (await import('./workspace/exec.ts')).followWorkspace,
  workspace_logs: async () => (await import('./workspace/logs.ts')).logsWorkspace,
  workspace_stop: async () => (await import('./workspace/life.ts')).stopWorkspace,
  workspace_start: async () => (await import('./workspace/life.ts')).startWorkspace,
  workspace_delete: async () => (await import('./workspace/life.ts')).deleteWorkspace,
}
