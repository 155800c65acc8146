import type { Call } from '../../src/contract/call.ts'
import type { InputOf, OutputOf } from '../../src/contract/operation.ts'
import type { OperationName, OperationNamed } from '../../src/contract/operations.ts'
import { handlers } from '../../src/engine/operations.ts'
import { openOrchestrator } from '../../src/engine/orchestrator/open.ts'
import type { Orchestrator } from '../../src/engine/orchestrator/orchestrator.ts'
import { environment, type Home, temporaryHome } from './home.ts'

/** What workspaces promise, whoever carries the operations out. */
export const workspacePromises = {
  'workspace.lives': 'a workspace keeps its files, its packages and its modes over stop and start, and its record over everything',
  'workspace.whole-or-none': 'a creation that fails or is given up leaves nothing',
  'workspace.logged': 'every command has a number and is on record with what it wrote, also while it runs',
  'workspace.concurrent': 'operations on one workspace go on at the same time, but for those that exclude each other',
  'workspace.states': 'what the state of a workspace does not allow is refused, and the hint says what to do',
  'workspace.exec': 'a command has its directory, its variables and its stdin, and its output streams',
  'workspace.deleted': 'a deleted workspace leaves no file, no process and no record',
  'idle.pauses': 'a workspace that nobody uses for its time to live is paused, uses no CPU, and its processes go on with the next command',
  'idle.use-renews': 'what is under way in a workspace keeps it awake, and looking at it does not wake it',
  'room.makes-way': 'where no more machines fit, the one that was idle for longest is stopped, and starts again by itself',
  'room.refuses': 'a machine is refused only when all are busy',
  'room.pressure': 'a host that is short of memory gets it back from warm forks, then from paused machines',
  'retention.warns-first': 'a workspace that nobody touches for the retention time is marked, and deleted a day later, with an event',
  'warm.taken': 'a creation takes a fork that waits for it, with seed and without, and another is made',
  'warm.off': 'PYRO_WARM_FORKS=0 has no fork wait',
  'adopt.machines': 'machines and what runs in them outlive their owner, and the next one has them',
  'adopt.commands': 'a command that ran when its owner was killed has its whole output and its end in the logs',
  'adopt.dead': 'a workspace whose machine is gone is stopped, its commands are on record as lost, and it starts again with its disk',
  'adopt.half-done': 'what an owner left half done is finished or undone by the next one, and nothing is orphaned',
  'vm.throwaway': 'a VM runs one command and is gone, and goes by itself when its time is over',
  'gate.order': 'operations enter a workspace in their order: those that share together, the others alone',
} as const

export interface Owner {
  home: Home
  orchestrator: Orchestrator
  call<Name extends OperationName>(name: Name, input: InputOf<OperationNamed<Name>>, call?: Call): Promise<OutputOf<OperationNamed<Name>>>
  /** A workspace of the smallest kind. */
  create(input?: Partial<InputOf<OperationNamed<'workspace_create'>>>): Promise<string>
  /** Runs a command line and gives what it wrote. */
  run(id: string, command: string): Promise<{ stdout: string; stderr: string; exit_code: number }>
  /** Lets go of everything and takes it over again, as another process would. */
  reopen(): Promise<void>
}

/** Owns a state directory of its own until the end of the file, and ends all that is in it then. */
export async function own(env: NodeJS.ProcessEnv = {}, home: Home = temporaryHome(env)): Promise<Owner> {
  const owner: Owner = {
    home,
    orchestrator: await openOrchestrator(home.engine),
    async call(name, input, call = {}) {
      const handler = await handlers[name]()
      return handler(owner.orchestrator, input, call)
    },
    async create(input = {}) {
      return (await owner.call('workspace_create', { environment, mem_mib: 256, ...input })).workspace_id
    },
    run: (id, command) => owner.call('workspace_exec', { workspace_id: id, command }),
    async reopen() {
      await owner.orchestrator[Symbol.asyncDispose]()
      owner.orchestrator = await openOrchestrator(home.engine)
    },
  }
  // Before the home is looked at, which is asked for last.
  home.machines.defer(async () => {
    const { orchestrator } = owner
    if (orchestrator.leaving.aborted) return
    for (const { id, kind } of orchestrator.store.sandboxes()) {
      if (kind === 'workspace') await owner.call('workspace_delete', { workspace_id: id })
      else await owner.call('vm_delete', { vm_id: id })
    }
    await orchestrator[Symbol.asyncDispose]()
  })
  return owner
}

