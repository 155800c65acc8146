import { PyroError } from '../../contract/errors.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { stopLive } from '../sandbox/stop.ts'
import type { Orchestrator } from './orchestrator.ts'
import type { Place } from './room.ts'

/** A place for one more machine: at the bound a warm fork goes, then the machine that was idle for longest. */
export async function makeRoom(orchestrator: Orchestrator, memMib: number, beside?: Sandbox): Promise<Place> {
  const { room, warm } = orchestrator
  while (!room.fits(memMib)) {
    if ((await warm.giveUpOne()) || (await stopIdlest(orchestrator, beside))) continue
    throw new PyroError('too_many_machines', `max active VMs reached: ${room.taken} run, all of them busy, and no more of ${memMib} MiB fit`, {
      hint: 'stop or delete some (`pyro workspace list` shows them), or raise PYRO_MAX_MACHINES',
      details: { limit: room.capacity(memMib), running: room.taken },
    })
  }
  return room.take(memMib)
}

/** Stops the workspace that was used least recently and has nothing under way; false when there is none. */
export async function stopIdlest(orchestrator: Orchestrator, beside?: Sandbox, onlyPaused = false): Promise<boolean> {
  const idle = [...orchestrator.sandboxes.values()]
    .filter(({ live, uses, waking }) => live && !live.stalled && uses === 0 && !waking && (live.paused || !onlyPaused))
    .filter((sandbox) => sandbox !== beside && orchestrator.store.sandbox(sandbox.id)?.kind === 'workspace')
    .sort((a, b) => Number(b.live?.paused) - Number(a.live?.paused) || a.usedAt - b.usedAt)
  for (const sandbox of idle) {
    using pass = sandbox.gate.tryAlone()
    if (!pass) continue
    try {
      await stopLive(orchestrator, sandbox, 'memory')
      return true
    } catch {
      // It cannot be stopped without a loss: another one may.
    }
  }
  return false
}
