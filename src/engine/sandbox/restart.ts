import { existsSync } from 'node:fs'
import { PyroError } from '../../contract/errors.ts'
import type { SandboxRow } from '../../store/rows.ts'
import { now } from '../clock.ts'
import type { CallOptions } from '../engine.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import { makeSandboxDirectory, pin, removeSandboxDirectory, type SandboxFiles, sandboxFiles } from './directory.ts'
import { saveRecord } from './record.ts'
import type { Live, Sandbox } from './sandbox.ts'
import { type Ground, groundOf, startLive } from './start.ts'

/** Starts the machine of a sandbox: the first time with a blank disk, then with its own. A failure leaves it as it was. */
export async function restart(orchestrator: Orchestrator, sandbox: Sandbox, row: SandboxRow, options: CallOptions): Promise<Live> {
  const { paths } = orchestrator
  const files = sandboxFiles(paths, row.id)
  const first = row.state === 'created'
  const ground = await groundOf(orchestrator, row, options)
  if (!first && !('reason' in ground)) needDisk(row, files)
  if (first) await prepareDirectory(files, ground)
  try {
    const live = await startLive(orchestrator, sandbox, row, {
      ...options,
      ground,
      blank: first,
      seed: existsSync(files.seed) ? files.seed : undefined,
    })
    recordStart(orchestrator, row, live, ground)
    return live
  } catch (error) {
    if (first) await removeSandboxDirectory(files)
    throw error
  }
}

function recordStart(orchestrator: Orchestrator, { id, environmentDigest }: SandboxRow, { vmm, machine }: Live, ground: Ground): void {
  const { store } = orchestrator
  const started = store.transaction(() => {
    store.appendEvent(id, { kind: 'started', recordedAt: now(), payload: { vmm } })
    return store.updateSandbox(id, {
      state: 'started',
      stoppedBy: null,
      paused: false,
      error: null,
      vmm,
      machineId: machine.id,
      cleanStop: false,
      environmentDigest: environmentDigest ?? ('reason' in ground ? null : ground.environment.digest),
      executionMode: vmm === 'host' ? 'host_compat' : 'guest_vsock',
    })
  })
  saveRecord(orchestrator, started)
}

async function prepareDirectory(files: SandboxFiles, ground: Ground): Promise<void> {
  await makeSandboxDirectory(files)
  if (!('reason' in ground)) await pin(ground.environment.rootfsImage, files.environment)
}

function needDisk({ id }: SandboxRow, { disk }: SandboxFiles): void {
  if (existsSync(disk)) return
  throw new PyroError('wrong_state', `the disk of '${id}' is gone: rootfs image ${disk} is unavailable`, { hint: `pyro workspace delete ${id} removes what is left of it` })
}
