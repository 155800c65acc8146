import type { Engine } from '../engine.ts'

/**
 * The owner of a state directory: its records, its running machines, its timers.
 * There is one per state directory; disposing of it lets its machines go on by themselves.
 */
export interface Orchestrator extends Engine, AsyncDisposable {
  /** When there was last something to stay for, in milliseconds of the monotonic clock; undefined while there is. */
  idleSince(): number | undefined
  /** What is going on, for `daemon status`. */
  status(): { workspaces: number; machines: { running: number; paused: number; warm: number }; calls: number }
  /** Ends every machine: workspaces are stopped, throwaway VMs removed. */
  stopMachines(): Promise<void>
}

/** Takes the state directory over: records are opened, running machines adopted, what was half done finished or undone. */
export declare function openOrchestrator(engine: Engine): Promise<Orchestrator>
