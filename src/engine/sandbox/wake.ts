import { PyroError } from '../../contract/errors.ts'
import { guestError } from '../../guest/client.ts'
import type { SandboxRow } from '../../store/rows.ts'
import { whileAlive } from '../../vmm/ended.ts'
import type { CallOptions } from '../engine.ts'
import { setClock } from '../machine/attach.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import { inTime } from './limits.ts'
import { noun } from './naming.ts'
import type { Live, Sandbox } from './sandbox.ts'
import { stalledError, unlessStalled } from './stalled.ts'
import { restart } from './restart.ts'

/** Those that nobody stopped on purpose start again by themselves when they are needed. */
const startsByItself: ReadonlySet<SandboxRow['stoppedBy']> = new Set(['memory', 'host'])

/** The sandbox's machine, running: woken when it is paused, started when memory pressure or the host's end had stopped it. */
export async function awake(orchestrator: Orchestrator, sandbox: Sandbox, row: SandboxRow, operation: string, options: CallOptions): Promise<Live> {
  const { live } = sandbox
  if (live && !live.paused && !sandbox.waking) {
    if (live.stalled) throw stalledError(row.id)
    return live
  }
  const starts = operation === 'workspace_start' || (row.state === 'stopped' && startsByItself.has(row.stoppedBy))
  if (!live && !starts) throw notStarted(row, operation)
  sandbox.waking ??= (live ? resume(orchestrator, sandbox, live) : restart(orchestrator, sandbox, row, options)).finally(() => (sandbox.waking = undefined))
  return sandbox.waking
}

export function notStarted(row: SandboxRow, operation: string): PyroError {
  const why = row.error === null ? '' : ` (${row.error})`
  return new PyroError('wrong_state', `${noun(row)} '${row.id}' must be in 'started' state for ${operation}, it is '${row.state}'${why}`, {
    hint: row.kind === 'workspace' ? `pyro workspace start ${row.id}` : 'start it first (vm_start)',
  })
}

async function resume(orchestrator: Orchestrator, sandbox: Sandbox, live: Live): Promise<Live> {
  await inTime(live.machine.resume())
  live.paused = false
  try {
    await whileAlive(live.machine, unlessStalled(live, sandbox.id, inTime(live.link.guest().then(setClock))))
  } catch (error) {
    throw guestError(error, 'waking it')
  }
  orchestrator.store.updateSandbox(sandbox.id, { paused: false })
  return live
}
