import { PyroError } from '../../contract/errors.ts'
import type { SandboxRow } from '../../store/rows.ts'
import type { CallOptions } from '../engine.ts'
import { guestVariables } from '../machine/variables.ts'
import { identify } from '../machine/attach.ts'
import { identityOf } from '../machine/start.ts'
import { whileAlive } from '../../vmm/ended.ts'
import type { Orchestrator, WarmFork } from '../orchestrator/orchestrator.ts'
import type { Seed } from '../seed/seed.ts'
import { watchIdle } from './idle.ts'
import { intend } from './intent.ts'
import { makeSandboxDirectory, pin, removeSandboxDirectory, sandboxFiles } from './directory.ts'
import { sandboxOf } from './enter.ts'
import { newSandboxId } from './naming.ts'
import { saveRecord } from './record.ts'
import { dropLive } from './stop.ts'
import type { Live, Sandbox } from './sandbox.ts'
import { adoptLive, type Ground, lastingOf, monitorLeaseSeconds, startLive } from './start.ts'

/** What a sandbox is made from. */
export interface Draft {
  row: Omit<SandboxRow, 'id'>
  ground: Ground
  seed: Seed | undefined
}

/** Makes a sandbox and starts its machine: from a fork that waits for one, if there is. Any failure leaves nothing of it. */
export async function createSandbox(orchestrator: Orchestrator, { row: draft, ground, seed }: Draft, options: CallOptions): Promise<SandboxRow> {
  const { store, paths, sandboxes } = orchestrator
  const warm = 'reason' in ground ? undefined : orchestrator.warm.take(ground.template.key)
  const row: SandboxRow = { ...draft, id: warm?.sandboxId ?? newSandboxId() }
  const files = sandboxFiles(paths, row.id)
  const intent = `create-${row.id}`
  const sandbox = sandboxOf(orchestrator, row.id)
  let live: Live | undefined
  using _alone = await sandbox.gate.enterAlone()
  try {
    intend(store, { id: intent, sandboxId: row.id, kind: 'create', payload: {} })
    await makeSandboxDirectory(files)
    if (!warm && !('reason' in ground)) await pin(ground.environment.rootfsImage, files.environment)
    const seedImage = seed && (await pin(seed.path, files.seed))
    live = warm
      ? await settle(orchestrator, sandbox, row, warm, seedImage, options)
      : await startLive(orchestrator, sandbox, row, { ...options, ground, blank: true, seed: seedImage, hostSeed: seed })
    options.signal?.throwIfAborted()
    const { machine, vmm } = live
    const made = { ...row, state: 'started', machineId: machine.id, vmm, executionMode: vmm === 'host' ? 'host_compat' : 'guest_vsock' } satisfies SandboxRow
    saveRecord(orchestrator, made)
    store.transaction(() => {
      store.insertSandbox(made)
      store.updateMachine(machine.id, { sandboxId: row.id, kind: 'sandbox' })
      store.closeIntent(intent)
      store.appendEvent(row.id, { kind: 'created', recordedAt: row.createdAt, payload: { vmm } })
    })
    sandbox.usedAt = performance.now()
    watchIdle(orchestrator, sandbox)
    return made
  } catch (error) {
    if (live) await dropLive(sandbox, live)
    else if (warm) await warm.machine[Symbol.asyncDispose]()
    await removeSandboxDirectory(files)
    if (live) store.deleteMachine(live.machine.id)
    store.closeIntent(intent)
    sandboxes.delete(row.id)
    options.signal?.throwIfAborted()
    throw PyroError.from(error)
  } finally {
    if (!('reason' in ground)) orchestrator.warm.prepare(orchestrator, ground)
  }
}

/** Makes a fork that waited the sandbox's machine. */
async function settle(orchestrator: Orchestrator, sandbox: Sandbox, row: SandboxRow, { machine, vmm, guest, place }: WarmFork, seed: string | undefined, { signal }: CallOptions): Promise<Live> {
  signal?.throwIfAborted()
  if (seed !== undefined) await machine.exchange('seed', seed)
  machine.renewLease(monitorLeaseSeconds(row))
  const lasting = lastingOf(row, sandboxFiles(orchestrator.paths, row.id), false)
  await whileAlive(machine, identify(guest, identityOf({ id: machine.id, seed, lasting })))
  return adoptLive(orchestrator, sandbox, { machine, guest, vmm: { name: vmm }, variables: guestVariables }, place)
}
