import { stopIdlest } from './make-room.ts'
import type { Orchestrator } from './orchestrator.ts'
import { shortOfMemory } from './room.ts'

/** Gives memory back when the host is short of it: warm forks first, then the paused machine that was used least recently. */
export async function relieve(orchestrator: Orchestrator): Promise<void> {
  if (orchestrator.leaving.aborted) return
  await orchestrator.warm.giveUpStale()
  if (!shortOfMemory(orchestrator.env)) return
  if (await orchestrator.warm.giveUpOne()) return
  await stopIdlest(orchestrator, undefined, true).catch(() => false) // it is tried again soon
}
