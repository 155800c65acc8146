import { mkdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { PyroError } from '../contract/errors.ts'
import { type HostProgram, startHostProgram } from '../host/program.ts'
import type { Paths } from '../host/paths.ts'
import { endedError } from './ended.ts'
import type { Machine, MachineEnd } from './vmm.ts'

/** What `pyro-host monitor` is to do; its documentation is the Go type `Spec` in native/internal/monitor. */
export interface MonitorSpec {
  id: string
  directory: string
  sockets: string
  copies: { from: string; to: string }[]
  locks: { path: string; exclusive: boolean }[]
  listen: { name: string; file: string }[]
  open: { name: string; path: string; write: boolean }[]
  argv: string[]
  console: { name: string; bytes: number }
}

interface Started {
  /** The VMM's own. */
  pid: number
  /** What the descriptors of `listen`, `open` and `console` are called in it. */
  descriptors: Record<string, number>
}

/** The last of the console that is kept of every machine. */
export const consoleBytes = 64 * 1024

/** A VMM under its monitor: the process that holds the machine's lock, and ends it and its files when we go. */
export interface Monitored extends AsyncDisposable {
  /** Connects to one of the sockets in `listen`; they accept from before the VMM starts. */
  dial(file: string): Promise<Socket>
  started: Promise<Started>
  ended: Promise<MachineEnd>
}

export async function monitor(paths: Paths, spec: MonitorSpec, signal?: AbortSignal): Promise<Monitored> {
  for (const directory of [spec.directory, spec.sockets]) mkdirSync(dirname(directory), { recursive: true, mode: 0o700 })
  let end: (how: MachineEnd) => void
  const ended = new Promise<MachineEnd>((resolve) => (end = resolve))
  const program = startHostProgram(paths, ['monitor'], 'internal', (event) => {
    if (event.event === 'exited') end(event as unknown as MachineEnd)
  })
  program.child.once('close', () => end({ code: null, signal: null, console: '' }))
  try {
    signal?.throwIfAborted()
    program.send(spec)
    await program.next('listening')
  } catch (error) {
    await program[Symbol.asyncDispose]()
    throw error
  }
  const started = program.next('started', 'exited').then((event) => {
    if (event.event === 'exited') throw endedError(event as unknown as MachineEnd)
    return event as unknown as Started
  })
  started.catch(() => {})
  return {
    dial: (file) => dial(join(spec.sockets, file), program),
    started,
    ended,
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  }
}

function dial(path: string, program: HostProgram): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
    socket.once('error', (cause) => reject(new PyroError('vmm_exited', 'the virtual machine is gone', { cause })))
    program.child.once('close', () => socket.destroy())
  })
}

/** A monitored process as a machine. `release` is done before it is ended. */
export function machineOf(id: string, pid: number, monitored: Monitored, release: () => void = () => {}): Machine {
  return {
    id,
    pid,
    dialControl: () => monitored.dial('control'),
    ended: monitored.ended,
    async [Symbol.asyncDispose]() {
      release()
      await monitored[Symbol.asyncDispose]()
    },
  }
}
