import type { Call, Caller } from '../contract/call.ts'
import type { InputOf, OutputOf } from '../contract/operation.ts'
import type { OperationName, OperationNamed } from '../contract/operations.ts'
import { createClient } from '../daemon/client/client.ts'
import { type Paths, resolvePaths } from '../host/paths.ts'
import { embeddedCaller } from './embedded.ts'
import { inputOf, type OptionsOf } from './input.ts'

export interface PyroOptions {
  /** State directory: workspaces and their disks. `$XDG_STATE_HOME/pyro-mcp` unless given. */
  baseDir?: string
  /** What can be made again: environments, templates, seeds. `$XDG_CACHE_HOME/pyro-mcp` unless given. */
  cacheDir?: string
  /** Machines that may run at the same time, for a daemon or engine that this starts; the host's memory bounds them unless given. */
  maxActiveVms?: number
  /** What runs the machines; the best that works here unless given. `host` isolates nothing and needs `allowHostCompat` as well. */
  backendName?: 'firecracker' | 'qemu' | 'host'
}

type Result<Name extends OperationName> = Promise<OutputOf<OperationNamed<Name>>>

/**
 * The operations of the contract as methods: ids first, then options in camelCase; results are the objects that `--json` prints. The
 * last argument of each is what a single call brings along: a signal that gives it up, `onOutput`, `progress`, `stdin`.
 * Failures are `PyroError`, told apart by `code`.
 */
export class Pyro implements AsyncDisposable {
  readonly #caller: Caller & AsyncDisposable

  /** A client of the daemon, which is started at the first call when it is absent. */
  constructor(options: PyroOptions = {}, caller: Caller & AsyncDisposable = clientOf(options)) {
    this.#caller = caller
  }

  /** The engine in this process, without a daemon. There is one owner per state directory: `state_in_use` when another is. */
  static async embedded(options: PyroOptions = {}): Promise<Pyro> {
    const { paths, env } = surroundings(options)
    return new Pyro(options, await embeddedCaller(paths, env))
  }

  /** Gives up what still runs and lets go of everything; machines go on. */
  async close(): Promise<void> {
    await this.#caller[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Runs one command in a throwaway machine. */
  runInVm(options: OptionsOf<'vm_run'>, call?: Call): Result<'vm_run'> {
    return this.#call('vm_run', options, call)
  }

  /** Creates a throwaway VM, not started yet. */
  createVm(options: OptionsOf<'vm_create'>, call?: Call): Result<'vm_create'> {
    return this.#call('vm_create', options, call)
  }

  startVm(vmId: string, call?: Call): Result<'vm_start'> {
    return this.#call('vm_start', { vmId }, call)
  }

  /** Runs one command in a started VM, then removes the VM. */
  execVm(vmId: string, options: OptionsOf<'vm_exec', 'vm_id'>, call?: Call): Result<'vm_exec'> {
    return this.#call('vm_exec', { vmId, ...options }, call)
  }

  stopVm(vmId: string, call?: Call): Result<'vm_stop'> {
    return this.#call('vm_stop', { vmId }, call)
  }

  deleteVm(vmId: string, call?: Call): Result<'vm_delete'> {
    return this.#call('vm_delete', { vmId }, call)
  }

  statusVm(vmId: string, call?: Call): Result<'vm_status'> {
    return this.#call('vm_status', { vmId }, call)
  }

  networkInfoVm(vmId: string, call?: Call): Result<'vm_network_info'> {
    return this.#call('vm_network_info', { vmId }, call)
  }

  /** Removes the throwaway VMs whose time is over. */
  reapExpired(call?: Call): Result<'vm_reap_expired'> {
    return this.#call('vm_reap_expired', {}, call)
  }

  async listEnvironments(call?: Call): Promise<OutputOf<OperationNamed<'vm_list_environments'>>['environments']> {
    return (await this.#call('vm_list_environments', {}, call)).environments
  }

  /** Installs an environment. */
  pullEnvironment(environment: string, call?: Call): Result<'env_pull'> {
    return this.#call('env_pull', { environment }, call)
  }

  inspectEnvironment(environment: string, call?: Call): Result<'env_inspect'> {
    return this.#call('env_inspect', { environment }, call)
  }

  /** Removes what interrupted, outdated or damaged installs left in the cache. */
  pruneEnvironments(call?: Call): Result<'env_prune'> {
    return this.#call('env_prune', {}, call)
  }

  /** Creates a workspace, a machine of its own that lasts, empty or with your files in /workspace. */
  createWorkspace(options: OptionsOf<'workspace_create'>, call?: Call): Result<'workspace_create'> {
    return this.#call('workspace_create', options, call)
  }

  /** The last used first. */
  listWorkspaces(call?: Call): Result<'workspace_list'> {
    return this.#call('workspace_list', {}, call)
  }

  updateWorkspace(workspaceId: string, options: OptionsOf<'workspace_update', 'workspace_id'>, call?: Call): Result<'workspace_update'> {
    return this.#call('workspace_update', { workspaceId, ...options }, call)
  }

  statusWorkspace(workspaceId: string, call?: Call): Result<'workspace_status'> {
    return this.#call('workspace_status', { workspaceId }, call)
  }

  /** What ran in it; with `sequence` one command, with all that was kept of its output. */
  logsWorkspace(workspaceId: string, options: OptionsOf<'workspace_logs', 'workspace_id'> = {}, call?: Call): Result<'workspace_logs'> {
    return this.#call('workspace_logs', { workspaceId, ...options }, call)
  }

  /** Runs a command. It reads `call.stdin`, if given; a command that fails or whose time is over is a result. */
  execWorkspace(workspaceId: string, options: OptionsOf<'workspace_exec', 'workspace_id' | 'interactive'>, call?: Call): Result<'workspace_exec'> {
    return this.#call('workspace_exec', { workspaceId, ...options, interactive: call?.stdin !== undefined }, call)
  }

  /** Stops its machine; its disk stays. */
  stopWorkspace(workspaceId: string, call?: Call): Result<'workspace_stop'> {
    return this.#call('workspace_stop', { workspaceId }, call)
  }

  startWorkspace(workspaceId: string, call?: Call): Result<'workspace_start'> {
    return this.#call('workspace_start', { workspaceId }, call)
  }

  deleteWorkspace(workspaceId: string, call?: Call): Result<'workspace_delete'> {
    return this.#call('workspace_delete', { workspaceId }, call)
  }

  #call<Name extends OperationName>(name: Name, options: OptionsOf<Name>, call?: Call): Result<Name> {
    return this.#caller.call(name, inputOf<Name>(options) as InputOf<OperationNamed<Name>>, call)
  }
}

function clientOf(options: PyroOptions): Caller & AsyncDisposable {
  const { paths, env } = surroundings(options)
  return createClient(paths, env)
}

function surroundings({ baseDir, cacheDir, maxActiveVms, backendName }: PyroOptions): { paths: Paths; env: NodeJS.ProcessEnv } {
  const given = { PYRO_BASE_DIR: baseDir, PYRO_CACHE_DIR: cacheDir, PYRO_MAX_MACHINES: maxActiveVms?.toString(), PYRO_VMM: backendName }
  const env = { ...process.env, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) }
  return { paths: resolvePaths(env), env }
}
