import { existsSync, mkdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { PyroError } from '../contract/errors.ts'
import { type HostEvent, hostError, reap } from '../host/program.ts'
import type { Paths } from '../host/paths.ts'
import type { Confine } from './confinement.ts'
import { endedError } from './ended.ts'
import { connectMonitor, joined, type MonitorLine, startMonitor } from './monitor-line.ts'
import type { LaunchOptions, MachineEnd } from './vmm.ts'

/** What `pyro-host monitor` is to do; its documentation is the Go type `Spec` in native/internal/monitor. */
export interface MonitorSpec {
  id: string
  directory: string
  sockets: string
  copies: { from: string; to: string }[]
  locks: { path: string; exclusive: boolean; inherit: boolean }[]
  listen: { name: string; file: string }[]
  open: { name: string; path: string; write: boolean }[]
  argv: string[]
  /** Missing for what is to run as we do. */
  confine?: Confine
  console: { name: string; bytes: number }
  detached?: { lease_seconds: number }
}

/** A file for a VMM that runs: it joins the set `fdset` of the QMP server on `socket`. */
export interface PassedFile {
  path: string
  write: boolean
  socket: string
  fdset: number
}

interface Started {
  /** The VMM's own. */
  pid: number
  /** What the descriptors of `listen`, `open` and `console` are called in it. */
  descriptors: Record<string, number>
}

/** The last of the console that is kept of every machine. */
const consoleBytes = 64 * 1024
/** A monitor answers at once, unless it was stopped or the host has no time to spare. */
const answerMs = 5_000

/**
 * A VMM under its monitor: the process that holds the machine's lock, and
 * removes it. An attached one also ends when we do.
 */
export interface Monitored extends AsyncDisposable {
  /** Connects to one of the sockets in `listen`; they accept from before the VMM starts. */
  dial(file: string): Promise<Socket>
  started: Promise<Started>
  ended: Promise<MachineEnd>
  pass(file: PassedFile): Promise<void>
  renewLease(seconds: number): void
  /** Lets go of a detached machine and closes what was dialed. */
  release(): void
}

/** What every machine's spec says in the same way. */
export function commonSpec(paths: Paths, { id, copies, holds, detached, console }: Pick<LaunchOptions, 'id' | 'copies' | 'holds' | 'detached'> & { console: string }) {
  return {
    ...places(paths, id),
    id,
    copies: copies ?? [],
    locks: (holds ?? []).map((lock) => ({ ...lock, inherit: lock.exclusive })),
    console: { name: console, bytes: consoleBytes },
    ...(detached && { detached: { lease_seconds: detached.leaseSeconds } }),
  } satisfies Partial<MonitorSpec>
}

/** Starts a machine under a monitor; resolves when its sockets accept connections. */
export async function monitor(paths: Paths, spec: MonitorSpec, signal?: AbortSignal): Promise<Monitored> {
  for (const directory of [spec.directory, spec.sockets]) mkdirSync(dirname(directory), { recursive: true, mode: 0o700 })
  const line = startMonitor(paths)
  const { program } = line
  try {
    signal?.throwIfAborted()
    line.send(spec)
    await program.next('listening')
    if (!spec.detached) return monitored(paths, spec.id, line, () => program[Symbol.asyncDispose]())
    const socket = await connectMonitor(join(spec.sockets, 'monitor'))
    return detachedMonitored(paths, spec.id, socket ? joined(line, socket) : line)
  } catch (error) {
    program.child.kill()
    await program[Symbol.asyncDispose]()
    throw error
  }
}

/** The detached machine of that id, or undefined when it has no monitor. */
export async function adoptMonitored(paths: Paths, id: string): Promise<Monitored | undefined> {
  const line = await connectMonitor(join(places(paths, id).sockets, 'monitor'))
  if (!line) return undefined
  const found = detachedMonitored(paths, id, line)
  const answered = await Promise.race([found.started.then(() => true).catch(() => false), delay(answerMs, 'late' as const, { ref: false })])
  if (answered === true) return found
  found.release()
  if (answered === 'late') throw new PyroError('guest_unresponsive', `the monitor of machine ${id} does not answer`)
  return undefined
}

function places(paths: Paths, id: string): { directory: string; sockets: string } {
  return { directory: join(paths.machines, id), sockets: join(paths.sockets, id) }
}

function detachedMonitored(paths: Paths, id: string, line: MonitorLine): Monitored {
  return monitored(paths, id, line, async () => {
    line.send({ command: 'kill' })
    await line.closed
    const left = Object.values(places(paths, id)).filter((directory) => existsSync(directory))
    if (left.length > 0) await reap(paths, left) // of a monitor that was killed
  })
}

function monitored(paths: Paths, id: string, line: MonitorLine, end: () => Promise<void>): Monitored {
  const started = Promise.withResolvers<Started>()
  const ended = Promise.withResolvers<MachineEnd>()
  const passes: PromiseWithResolvers<void>[] = []
  const sockets = new Set<Socket>()
  let released = false
  started.promise.catch(() => {})

  const finish = (how: MachineEnd) => {
    ended.resolve(how)
    started.reject(endedError(how))
    for (const { reject } of passes.splice(0)) reject(endedError(how))
  }
  line.listen((event) => {
    if (event.event === 'started') started.resolve(event as unknown as HostEvent & Started)
    else if (event.event === 'exited') finish(event as unknown as HostEvent & MachineEnd)
    else if (event.event === 'passed') passes.shift()?.resolve()
    else if (event.event === 'error') (passes.shift() ?? started).reject(hostError(event, 'internal'))
  })
  const close = async () => {
    await line.closed
    for (const socket of sockets) socket.destroy()
    if (!released) finish({ code: null, signal: null, console: '' })
  }
  void close()
  return {
    started: started.promise,
    ended: ended.promise,
    async dial(file) {
      const socket = await dial(join(places(paths, id).sockets, file))
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      return socket
    },
    pass(file) {
      const passed = Promise.withResolvers<void>()
      passes.push(passed)
      line.send({ command: 'pass', ...file })
      return passed.promise
    },
    renewLease: (seconds) => line.send({ command: 'lease', lease_seconds: seconds }),
    release() {
      released = true
      line.hangUp()
      for (const socket of sockets) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      if (!released) await end()
    },
  }
}

function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
    socket.once('error', (cause) => reject(new PyroError('vmm_exited', 'the virtual machine is gone', { cause })))
  })
}
