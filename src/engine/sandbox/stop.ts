import { setTimeout as delay } from 'node:timers/promises'
import type { SandboxRow } from '../../store/rows.ts'
import { whileAlive } from '../../vmm/ended.ts'
import { now } from '../clock.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import type { Live, Sandbox } from './sandbox.ts'
import { answerTimeoutMs } from '../machine/link.ts'
import { flushTimeoutMs, inTime } from './limits.ts'
import { intend } from './intent.ts'
import { evenWhenFull } from './reserve.ts'
import { stalledError, unlessStalled } from './stalled.ts'

/** How long a guest that has unmounted its disk has to power itself off. */
const powerOffMs = 10_000

/** Ends the machine with everything flushed, and puts that on record. The caller is alone in the sandbox. */
export async function stopLive(orchestrator: Orchestrator, sandbox: Sandbox, stoppedBy: NonNullable<SandboxRow['stoppedBy']>): Promise<SandboxRow> {
  const { store } = orchestrator
  const { live } = sandbox
  if (!live) return store.updateSandbox(sandbox.id, {})
  const answers = await flush(sandbox, live)
  const intent = `stop-${live.machine.id}`
  await evenWhenFull(store, () => intend(store, { id: intent, sandboxId: sandbox.id, kind: 'stop', payload: { machineId: live.machine.id, stoppedBy } }))
  live.leaving = true
  const cleanStop = answers && (await shutDown(live))
  await dropLive(sandbox, live)
  return evenWhenFull(store, () =>
    store.transaction(() => {
      store.deleteMachine(live.machine.id)
      store.closeIntent(intent)
      store.appendEvent(sandbox.id, { kind: 'stopped', recordedAt: now(), payload: { stopped_by: stoppedBy } })
      return store.updateSandbox(sandbox.id, { state: 'stopped', stoppedBy, paused: false, machineId: null, cleanStop, error: cleanStop ? null : notClean })
    }),
  )
}

const notClean = 'the guest did not unmount its disk when it was stopped: what it had not flushed since the last checkpoint is lost'

/** Ends the machine as it is, and forgets it. */
export async function dropLive(sandbox: Sandbox, live: Live): Promise<void> {
  live.leaving = true
  clearTimeout(sandbox.idleTimer)
  live.link[Symbol.dispose]()
  await live.machine[Symbol.asyncDispose]()
  sandbox.live = undefined
}

/** Has the guest write what it holds; false when it does not answer. One that has to wait for room is not ended: that would cost what it holds. */
async function flush(sandbox: Sandbox, live: Live): Promise<boolean> {
  const { id } = sandbox
  if (live.vmm === 'host') return true
  if (live.stalled) throw stalledError(id)
  try {
    if (live.paused) await inTime(live.machine.resume())
    live.paused = false
    const { agent } = await live.link.guest()
    await agent.ping({}, { timeoutMs: answerTimeoutMs }) // one that does not hear us is not waited for as one that writes
    await unlessStalled(live, id, Promise.resolve(sandbox.checkpoint))
    await whileAlive(live.machine, unlessStalled(live, id, agent.sync({}, { timeoutMs: flushTimeoutMs })))
    return true
  } catch {
    if (live.stalled) throw stalledError(id)
    return false
  }
}

/** Whether the guest says that its disk is unmounted. */
async function shutDown({ machine, link, vmm }: Live): Promise<boolean> {
  if (vmm === 'host') return true
  try {
    const { agent } = await link.guest()
    await whileAlive(machine, agent.shutdown({}, { timeoutMs: flushTimeoutMs }))
  } catch {
    return false
  }
  await Promise.race([machine.ended, delay(powerOffMs, undefined, { ref: false })])
  return true
}
