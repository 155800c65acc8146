import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, createWriteStream } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { PyroError } from '../../contract/errors.ts'
import type { Paths } from '../../host/paths.ts'
import { type Confine, confinement } from '../confinement.ts'
import { endedError } from '../ended.ts'
import { machineOf } from '../machine.ts'
import { adoptMonitored, commonSpec, monitor, type Monitored, type MonitorSpec } from '../monitor.ts'
import type { LaunchOptions, Machine, Vmm } from '../vmm.ts'
import { type Accelerator, driveFiles, machineModel, qemuArguments, qmpServers } from './arguments.ts'
import { qemuMoves, stateOf } from './moves.ts'
import { migrate, openQmp, type Qmp, takeOverQmp } from './qmp.ts'
import type { QemuVersion } from './version.ts'

/** An owner that died has let go at once; one that lives does not let go at all. */
const takeOverMs = 5_000

/** QEMU's microvm machine, with hardware virtualization or emulated. */
export function qemu(paths: Paths, accelerator: Accelerator, version: QemuVersion): Vmm {
  const configuration = { accelerator }
  return {
    name: `qemu-${accelerator}`,
    identity: `QEMU ${version.text} ${accelerator} ${createHash('sha256').update(machineModel(accelerator).join('\0')).digest('hex').slice(0, 12)}`,
    exchangesDrives: true,

    async boot({ into, ...options }) {
      const memory = { path: into.memory, mapping: 'own' as const, readOnly: false }
      const confine = { ...reach(accelerator, options), write: [into.memory], connect: join(paths.sockets, options.id) }
      const launched = await launch(paths, options, qemuArguments({ ...options, ...configuration, memory, incoming: false }), [], confinement(confine))
      return {
        ...machine(launched),
        async suspend() {
          await launched.qmp.execute('stop')
          await save(launched.qmp, join(paths.sockets, options.id, 'state'), into.state)
        },
      }
    },

    async fork({ from, ...options }) {
      const memory = { path: from.memory, mapping: 'private' as const, readOnly: version.opensReadOnly }
      const needs = reach(accelerator, options)
      const confine = confinement(version.opensReadOnly ? { ...needs, read: [...needs.read, from.memory] } : { ...needs, lend: [from.memory] })
      const launched = await launch(paths, options, qemuArguments({ ...options, ...configuration, memory, incoming: true }), [{ name: 'state', path: from.state, write: false }], confine)
      try {
        await migrate(launched.qmp, 'migrate-incoming', `fd:${launched.descriptors['state']}`)
        await launched.qmp.execute('cont') // a machine that was stopped when it was saved stays so when loaded
      } catch (error) {
        launched.qmp.close()
        throw await explained(launched.monitored, error)
      }
      return machine(launched)
    },

    adopt: (id) => adopt(paths, id),
  }
}

/** What every machine's QEMU opens by path. */
function reach(accelerator: Accelerator, { kernel, shape }: LaunchOptions) {
  return { read: [kernel.image, kernel.initramfs], devices: accelerator === 'kvm' ? ['/dev/kvm'] : [], memMib: shape.memMib }
}

interface Connected {
  id: string
  detached: boolean
  monitored: Monitored
  qmp: Qmp
  pid: number
}

interface Launched extends Connected {
  descriptors: Record<string, number>
}

function machine({ id, pid, detached, monitored, qmp }: Connected, { stalled } = { stalled: false }): Machine {
  return machineOf({ id, pid, monitored, detached, moves: qemuMoves(monitored, qmp, { stalled }), close: () => qmp.close() })
}

async function adopt(paths: Paths, id: string): Promise<Machine | undefined> {
  const monitored = await adoptMonitored(paths, id)
  if (!monitored) return undefined
  try {
    const [{ pid }, socket] = await Promise.all([monitored.started, monitored.dial('qmp')])
    const qmp = await takeOverQmp(socket, takeOverMs)
    const { alive, stalled } = await stateOf(qmp)
    if (alive) return machine({ id, pid, detached: true, monitored, qmp }, { stalled })
    await monitored[Symbol.asyncDispose]() // its owner died before it ran, or the VMM has given it up
    return undefined
  } catch (error) {
    const lost = error instanceof PyroError && error.code === 'vmm_exited'
    if (lost) await monitored[Symbol.asyncDispose]()
    else monitored.release()
    if (lost) return undefined
    throw error
  }
}

async function launch(paths: Paths, options: LaunchOptions, argv: string[], open: MonitorSpec['open'], confine: Confine): Promise<Launched> {
  const monitored = await monitor(
    paths,
    {
      ...commonSpec(paths, { ...options, console: 'console' }),
      listen: ['control', 'network', ...qmpServers].map((name) => ({ name, file: name })),
      open: [...driveFiles(options.drives), ...open],
      argv,
      confine,
    },
    options.signal,
  )
  try {
    const [socket, started] = await Promise.all([monitored.dial('qmp'), monitored.started])
    return { id: options.id, detached: options.detached !== undefined, monitored, qmp: openQmp(socket), ...started }
  } catch (error) {
    throw await explained(monitored, error)
  }
}

/** QEMU writes its state to a socket: older versions take no inherited descriptor for this direction. */
async function save(qmp: Qmp, socketPath: string, statePath: string): Promise<void> {
  const server = createServer()
  try {
    server.listen(socketPath)
    await once(server, 'listening')
    chmodSync(socketPath, 0o666) // the VMM may have another user; the directory is ours alone
    const connected = once(server, 'connection') as Promise<[Socket]>
    const written = connected.then(([socket]) => pipeline(socket, createWriteStream(statePath, { mode: 0o600 })))
    await Promise.all([migrate(qmp, 'migrate', `unix:${socketPath}`), written])
  } finally {
    server.close()
  }
}

/** Drops a machine that failed to start, and says why it ended if it did: its sockets vanish a moment before its end is known. */
async function explained(monitored: Monitored, error: unknown): Promise<unknown> {
  const lost = error instanceof PyroError && error.code === 'vmm_exited'
  const end = lost ? await Promise.race([monitored.ended, delay(1000)]) : undefined
  await monitored[Symbol.asyncDispose]()
  return end ? endedError(end) : error
}
