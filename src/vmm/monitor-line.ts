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

/** Gives events to those who listen. What comes before anybody does waits for the first. */
function broadcast() {
  const listeners: ((event: HostEvent) => void)[] = []
  const early: HostEvent[] = []
  return {
    receive(event: HostEvent) {
      if (listeners.length === 0) early.push(event)
      for (const listener of listeners) listener(event)
    },
    listen(listener: (event: HostEvent) => void) {
      listeners.push(listener)
      for (const event of early.splice(0)) listener(event)
    },
    end: () => void (listeners.length = 0),
  }
}

/** Starts a monitor. It ends with us, unless its spec says otherwise. */
export function startMonitor(paths: Paths): MonitorProgram {
  const events = broadcast()
  const program = startHostProgram(paths, ['monitor'], 'internal', events.receive)
  const { child } = program
  return {
    program,
    send: (message) => program.send(message),
    listen: events.listen,
    closed: new Promise((done) => child.once('close', () => done())),
    hangUp() {
      events.end()
      for (const stream of child.stdio) stream?.destroy()
      child.unref()
    },
  }
}

/** Connects to the socket of a detached machine's monitor; undefined when nobody listens there. */
export async function connectMonitor(path: string): Promise<MonitorLine | undefined> {
  const socket = connect(path)
  const events = broadcast()
  onJsonLines(socket, (event) => events.receive(event as HostEvent))
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
    listen: events.listen,
    closed,
    hangUp() {
      events.end()
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
