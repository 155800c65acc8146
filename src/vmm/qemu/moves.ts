import type { Moves } from '../machine.ts'
import type { Monitored } from '../monitor.ts'
import type { ExchangeableSlot } from '../vmm.ts'
import { backendOf, firstFreeFdset } from './arguments.ts'
import type { Qmp } from './qmp.ts'

interface Status {
  running: boolean
  /** https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html#enum-RunState */
  status: string
}

/** Those of a machine that has come to run and can go on. */
const alive = new Set(['running', 'paused', 'io-error'])

/** What can be done with a machine over QMP. `stalled`: its host's disk was full already. */
export function qemuMoves(monitored: Pick<Monitored, 'pass'>, qmp: Qmp, { stalled }: { stalled: boolean }): Moves {
  return {
    pausable: true,
    pause: async () => void (await qmp.execute('stop')),
    resume: async () => void (await qmp.execute('cont')),
    isPaused: async () => !(await queryStatus(qmp)).running,
    exchange: (slot, path) => exchange(monitored, qmp, slot, path),
    onStalled: stallNotice(qmp, stalled),
  }
}

function queryStatus(qmp: Qmp): Promise<Status> {
  return qmp.execute('query-status') as Promise<Status>
}

/** In which state a machine is that somebody else has started. */
export async function stateOf(qmp: Qmp): Promise<{ alive: boolean; stalled: boolean }> {
  const { status } = await queryStatus(qmp)
  return { alive: alive.has(status), stalled: status === 'io-error' }
}

/**
 * A write that fails for want of space is told before QEMU has stopped its
 * vCPUs, and to resume only counts after that.
 */
function stallNotice(qmp: Qmp, stalled: boolean): Moves['onStalled'] {
  const listeners: (() => void)[] = []
  let full = false
  qmp.onEvent(({ event, data }) => {
    if (event === 'BLOCK_IO_ERROR' && data?.['nospace'] === true && data['action'] === 'stop') full = true
    else if (event === 'RESUME') full = stalled = false
    else if (event === 'STOP' && full) {
      stalled = true
      for (const listener of listeners) listener()
    }
  })
  return (listener) => {
    listeners.push(listener)
    if (stalled) queueMicrotask(listener)
  }
}

/** The slot's raw node stays, and with it the device; only the node below is another. */
async function exchange(monitored: Pick<Monitored, 'pass'>, qmp: Qmp, slot: ExchangeableSlot, path: string): Promise<void> {
  const node = `${slot}-exchanged`
  const fdset = firstFreeFdset
  await monitored.pass({ path, write: false, socket: 'files', fdset })
  try {
    await qmp.execute('blockdev-add', { driver: 'file', 'node-name': node, filename: `/dev/fdset/${fdset}`, locking: 'off', 'read-only': true })
  } catch (error) {
    await qmp.execute('remove-fd', { 'fdset-id': fdset }).catch(() => {})
    throw error
  }
  try {
    await qmp.execute('blockdev-reopen', { options: [{ driver: 'raw', 'node-name': slot, file: node, 'read-only': true }] })
  } catch (error) {
    await qmp.execute('blockdev-del', { 'node-name': node }).catch(() => {})
    throw error
  }
  await qmp.execute('blockdev-del', { 'node-name': backendOf(slot) })
}
