import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { PyroError } from '../../contract/errors.ts'
import type { Paths } from '../../host/paths.ts'
import { consoleBytes, machineOf, type Monitored, type MonitorSpec, monitor } from '../monitor.ts'
import { endedError } from '../ended.ts'
import type { LaunchOptions, Vmm } from '../vmm.ts'
import { type Accelerator, machineModel, qemuArguments } from './arguments.ts'
import { migrate, openQmp, type Qmp } from './qmp.ts'
import type { QemuVersion } from './version.ts'

/** QEMU's microvm machine, with hardware virtualization or emulated. */
export function qemu(paths: Paths, accelerator: Accelerator, version: QemuVersion): Vmm {
  const configuration = { accelerator }
  return {
    name: `qemu-${accelerator}`,
    identity: `QEMU ${version.text} ${accelerator} ${createHash('sha256').update(machineModel(accelerator).join('\0')).digest('hex').slice(0, 12)}`,
    caveats: version.opensReadOnly ? [] : [`QEMU ${version.text} opens a template's memory file for writing; from 8.2 on it is read-only to the VMM`],

    async boot({ into, ...options }) {
      const memory = { path: into.memory, mapping: 'own' as const, readOnly: false }
      const launched = await launch(paths, options, qemuArguments({ ...options, ...configuration, memory, incoming: false }), [])
      return {
        ...machineOf(options.id, launched.pid, launched.monitored, () => launched.qmp.close()),
        async suspend() {
          await launched.qmp.execute('stop')
          await save(launched.qmp, join(paths.sockets, options.id, 'state'), into.state)
        },
      }
    },

    async fork({ from, ...options }) {
      const memory = { path: from.memory, mapping: 'private' as const, readOnly: version.opensReadOnly }
      const launched = await launch(paths, options, qemuArguments({ ...options, ...configuration, memory, incoming: true }), [{ name: 'state', path: from.state, write: false }])
      try {
        await migrate(launched.qmp, 'migrate-incoming', `fd:${launched.descriptors['state']}`)
        await launched.qmp.execute('cont') // a machine that was stopped when it was saved stays so when loaded
      } catch (error) {
        launched.qmp.close()
        throw await explained(launched.monitored, error)
      }
      return machineOf(options.id, launched.pid, launched.monitored, () => launched.qmp.close())
    },
  }
}

interface Launched {
  monitored: Monitored
  qmp: Qmp
  pid: number
  descriptors: Record<string, number>
}

async function launch(paths: Paths, options: LaunchOptions, argv: string[], open: MonitorSpec['open']): Promise<Launched> {
  const monitored = await monitor(
    paths,
    {
      id: options.id,
      directory: join(paths.machines, options.id),
      sockets: join(paths.sockets, options.id),
      copies: options.copies ?? [],
      locks: (options.holds ?? []).map((path) => ({ path, exclusive: false })),
      listen: ['control', 'network', 'qmp'].map((name) => ({ name, file: name })),
      open,
      argv,
      console: { name: 'console', bytes: consoleBytes },
    },
    options.signal,
  )
  try {
    const [socket, started] = await Promise.all([monitored.dial('qmp'), monitored.started])
    return { monitored, qmp: openQmp(socket), ...started }
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
