import { whileAlive } from '../../vmm/ended.ts'
import { now } from '../clock.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import { flushTimeoutMs } from './limits.ts'
import type { Live, Sandbox } from './sandbox.ts'
import { unlessStalled } from './stalled.ts'

/** Suspends an idle machine: what its disk has to keep is flushed first, in case it never wakes again. */
export async function pause(orchestrator: Orchestrator, sandbox: Sandbox, live: Live): Promise<void> {
  const guest = await live.link.guest()
  await whileAlive(live.machine, unlessStalled(live, sandbox.id, guest.agent.sync({}, { timeoutMs: flushTimeoutMs })))
  await live.machine.pause()
  live.paused = true
  orchestrator.store.transaction(() => {
    orchestrator.store.updateSandbox(sandbox.id, { paused: true })
    orchestrator.store.appendEvent(sandbox.id, { kind: 'paused', recordedAt: now(), payload: {} })
  })
}
