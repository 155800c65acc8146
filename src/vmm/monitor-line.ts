import { once } from 'node:events'
import { connect } from 'node:net'
import { type HostEvent, type HostProgram, startHostProgram } from '../host/program.ts'
import type { Paths } from '../host/paths.ts'
import { onJsonLines } from './json-lines.ts'

/** A way to talk with a monitor: its standard streams, or a connection to its socket. */
export interface MonitorLine {
  send(message: unknown): void
  /** Every event from now on. */
  listen(listener: (event: HostEvent) => void): void
  /** For the socket: nothing of the machine is left, unless its monitor was killed. */
  readonly closed: Promise<void>
  /** Lets go of the monitor: nothing is heard any more. */
  hangUp(): void
}

export interface MonitorProgram extends MonitorLine {
  readonly program: HostProgram
}

/** Starts a monitor. It ends with us, unless its spec says otherwise. */
export function startMonitor(paths: Paths): MonitorProgram {
  const listeners: ((event: HostEvent) => void)[] = []
  const program = startHostProgram(paths, ['monitor'], 'internal', (event) => {
    for (const listener of listeners) listener(event)
  })
  const { child } = program
  return {
    program,
    send: (message) => program.send(message),
    listen: (listener) => void listeners.push(listener),
    closed: new Promise((done) => child.once('close', () => done())),
    hangUp() {
      listeners.length = 0
      for (const stream of child.stdio) stream?.destroy()
      child.unref()
    },
  }
}

/** Connects to the socket of a detached machine's monitor; undefined when nobody listens there. */
export async function connectMonitor(path: string): Promise<MonitorLine | undefined> {
  const socket = connect(path)
  const listeners: ((event: HostEvent) => void)[] = []
  // An event that comes before anybody listens.
  const early: HostEvent[] = []
  onJsonLines(socket, (event) => {
    if (listeners.length === 0) early.push(event as HostEvent)
    for (const listener of listeners) listener(event as HostEvent)
  })
  const closed = new Promise<void>((done) => socket.once('close', () => done()))
  try {
    await once(socket, 'connect')
  } catch (error) {
    if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET'].includes(String((error as NodeJS.ErrnoException).code))) return undefined
    throw error
  }
  socket.on('error', () => {}) // 'close' follows
  return {
    send: (message) => void socket.write(`${JSON.stringify(message)}\n`),
    listen(listener) {
      listeners.push(listener)
      for (const event of early.splice(0)) listener(event)
    },
    closed,
    hangUp() {
      listeners.length = 0
      socket.destroy()
    },
  }
}

/**
 * The program that was started and the connection to its socket as one: what
 * happens before the connection is known to stand is heard from the program,
 * which is let go of then.
 */
export function joined(program: MonitorProgram, socket: MonitorLine): MonitorLine {
  let stands = false
  socket.listen(({ event }) => {
    if (event !== 'started') return
    stands = true
    program.hangUp()
  })
  return {
    ...socket,
    listen(listener) {
      program.listen(listener)
      socket.listen(listener)
    },
    closed: socket.closed.then(() => (stands ? undefined : program.closed)),
    hangUp() {
      program.hangUp()
      socket.hangUp()
    },
  }
}
