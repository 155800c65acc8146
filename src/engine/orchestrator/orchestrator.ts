import type { Guest } from '../../guest/client.ts'
import type { Store } from '../../store/store.ts'
import type { Machine, VmmName } from '../../vmm/vmm.ts'
import type { Engine } from '../engine.ts'
import type { ResolvedMachine } from '../machine/launch.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import type { Recovery } from './recovery.ts'
import type { Place, Room } from './room.ts'

/** A fork that waits for its sandbox: its agent has run a process, and its directory becomes the sandbox's. */
export interface WarmFork {
  /** The id that its sandbox will have. */
  readonly sandboxId: string
  readonly vmm: VmmName
  readonly machine: Machine
  readonly guest: Guest
  readonly place: Place
  /** Resolves when its machine has ended and, should no sandbox have taken it, nothing is left of it. */
  readonly over: Promise<void>
}

/** Forks made ahead, one for each recently used template. */
export interface WarmForks {
  readonly count: number
  /** The fork that waits for this template, now the caller's. */
  take(templateKey: string): WarmFork | undefined
  /** Makes one for a template that was just used, behind the caller's back. */
  prepare(orchestrator: Orchestrator, resolved: ResolvedMachine): void
  /** Ends the one whose template was used least recently; false when there is none. */
  giveUpOne(): Promise<boolean>
  /** Ends those that nobody has needed for long. */
  giveUpStale(): Promise<void>
  giveUpAll(): Promise<void>
}

/**
 * The owner of a state directory: its records, its running machines, its timers.
 * There is one per state directory; disposing of it lets its machines go on by themselves.
 */
export interface Orchestrator extends Engine, AsyncDisposable {
  readonly store: Store
  readonly sandboxes: Map<string, Sandbox>
  readonly room: Room
  readonly warm: WarmForks
  /** Aborted when it lets go of everything. */
  readonly leaving: AbortSignal
  /** How the records were found again, should they have been damaged. */
  readonly recovery: Recovery | undefined
  /** When there was last something to stay for, in milliseconds of the monotonic clock; undefined while there is. */
  idleSince(): number | undefined
  /** What is going on, for `daemon status`. */
  status(): { workspaces: number; machines: { running: number; paused: number; warm: number }; calls: number }
  /** Ends every machine: workspaces are stopped, throwaway VMs removed. */
  stopMachines(): Promise<void>
}
