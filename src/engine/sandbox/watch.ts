import { endedError } from '../../vmm/ended.ts'
import type { MachineEnd } from '../../vmm/vmm.ts'
import { now } from '../clock.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import { evenWhenFull } from './reserve.ts'
import { spaceReturned } from './stalled.ts'
import type { Live, Sandbox } from './sandbox.ts'

/** Keeps the record true when the machine ends by itself, or waits for space on the host's disk. */
export function watch(orchestrator: Orchestrator, sandbox: Sandbox, live: Live, place: Disposable): void {
  live.machine.onStalled(() => {
    live.stalled = true
    live.paused = false // it is not we who hold it
    for (const listener of live.stallListeners) listener()
    void spaceReturned(orchestrator, live)
  })
  void seeEnd(orchestrator, sandbox, live, place)
}

async function seeEnd(orchestrator: Orchestrator, sandbox: Sandbox, live: Live, place: Disposable): Promise<void> {
  const end = await live.machine.ended
  place[Symbol.dispose]()
  live.link[Symbol.dispose]()
  if (live.leaving || sandbox.live !== live) return
  sandbox.live = undefined
  clearTimeout(sandbox.idleTimer)
  await evenWhenFull(orchestrator.store, () => died(orchestrator, sandbox.id, live.machine.id, end)).catch(() => {}) // the next owner sees it
  await live.machine[Symbol.asyncDispose]().catch(() => {}) // removes what a monitor leaves that was killed
}

/** The machine of a started sandbox is gone, and nobody had asked for that. */
export function died({ store }: Orchestrator, id: string, machineId: string, end: MachineEnd | 'host'): void {
  const error = end === 'host' ? null : `backing guest process is no longer running: ${endedError(end).message}`
  store.transaction(() => {
    store.updateSandbox(id, { state: 'stopped', stoppedBy: end === 'host' ? 'host' : 'vmm', paused: false, cleanStop: false, machineId: null, error })
    store.deleteMachine(machineId)
    store.appendEvent(id, { kind: 'machine_died', recordedAt: now(), payload: { machine_id: machineId, reason: error ?? 'the host was restarted' } })
  })
}
