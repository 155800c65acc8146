import { setTimeout as delay } from 'node:timers/promises'
import type { SandboxRow } from '../../store/rows.ts'
import { now } from '../clock.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import type { Live, Sandbox } from './sandbox.ts'
import { flushTimeoutMs } from './limits.ts'

/** How long a guest that has unmounted its disk has to power itself off. */
const powerOffMs = 10_000

/** Ends the machine with everything flushed, and puts that on record. The caller is alone in the sandbox. */
export async function stopLive(orchestrator: Orchestrator, sandbox: Sandbox, stoppedBy: NonNullable<SandboxRow['stoppedBy']>): Promise<SandboxRow> {
  const { store } = orchestrator
  const { live } = sandbox
  if (!live) return store.updateSandbox(sandbox.id, {})
  const intent = `stop-${live.machine.id}`
  store.insertIntent({ id: intent, sandboxId: sandbox.id, kind: 'stop', payload: { machineId: live.machine.id, stoppedBy }, createdAt: now() })
  live.leaving = true
  const cleanStop = await shutDown(live)
  await dropLive(sandbox, live)
  return store.transaction(() => {
    store.deleteMachine(live.machine.id)
    store.closeIntent(intent)
    store.appendEvent(sandbox.id, { kind: 'stopped', recordedAt: now(), payload: { stopped_by: stoppedBy } })
    return store.updateSandbox(sandbox.id, { state: 'stopped', stoppedBy, paused: false, machineId: null, cleanStop, error: cleanStop ? null : notClean })
  })
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

/** Whether the guest says that its disk is unmounted. */
async function shutDown({ machine, link, paused, vmm }: Live): Promise<boolean> {
  if (vmm === 'host') return true
  try {
    if (paused) await machine.resume()
    const { agent } = await link.guest()
    await Promise.race([agent.shutdown({}, { timeoutMs: flushTimeoutMs }), machine.ended.then(() => Promise.reject(new Error('it ended')))])
  } catch {
    return false
  }
  await Promise.race([machine.ended, delay(powerOffMs, undefined, { ref: false })])
  return true
}
