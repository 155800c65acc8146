import type { Socket } from 'node:net'
import { PyroError } from '../../contract/errors.ts'
import { onJsonLines } from '../json-lines.ts'

export interface QmpEvent {
  event: string
  data?: Record<string, unknown>
}

interface QmpReply {
  return?: unknown
  error?: { class: string; desc: string }
}

/**
 * The QEMU Machine Protocol on a connected socket: requests are answered in
 * order, events come in between.
 * https://www.qemu.org/docs/master/interop/qmp-spec.html
 */
export class Qmp {
  readonly #socket: Socket
  readonly #pending: { resolve: (value: unknown) => void; reject: (error: unknown) => void }[] = []
  readonly #listeners = new Set<(event: QmpEvent) => void>()
  #failure: PyroError | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    onJsonLines(socket, (message) => this.#receive(message))
    socket.on('error', () => {}) // 'close' follows
    const closed = () => this.#fail(new PyroError('vmm_exited', 'QEMU closed its control socket'))
    socket.on('close', closed)
    if (socket.destroyed) closed() // it ended between being dialed and now
  }

  /** Sends a request without waiting for those before it. Rejects with QEMU's own description. */
  execute(command: string, args?: Record<string, unknown>): Promise<unknown> {
    if (this.#failure) return Promise.reject(this.#failure)
    const reply = new Promise((resolve, reject) => this.#pending.push({ resolve, reject }))
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`)
    return reply
  }

  /** Resolves with the first event that fits; rejects when the connection ends first. */
  event(fits: (event: QmpEvent) => boolean): Promise<QmpEvent> {
    if (this.#failure) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      const listener = (event: QmpEvent) => {
        if (!fits(event)) return
        this.#listeners.delete(listener)
        resolve(event)
      }
      this.#listeners.add(listener)
      this.#socket.once('close', () => reject(new PyroError('vmm_exited', 'QEMU ended while it was waited for')))
    })
  }

  /** Calls back for every event from now on. */
  onEvent(listener: (event: QmpEvent) => void): void {
    this.#listeners.add(listener)
  }

  close(): void {
    this.#socket.destroy()
  }

  #receive(message: QmpReply & Partial<QmpEvent>): void {
    if (message.event !== undefined) {
      for (const listener of this.#listeners) listener(message as QmpEvent)
    } else if (message.error) {
      this.#pending.shift()?.reject(new PyroError('vmm_exited', `QEMU refused: ${message.error.desc}`))
    } else if ('return' in message) {
      this.#pending.shift()?.resolve(message.return)
    }
  }

  #fail(error: PyroError): void {
    this.#failure = error
    for (const { reject } of this.#pending.splice(0)) reject(error)
  }
}

/** Begins a session: no request is taken before this one. */
export function openQmp(socket: Socket): Qmp {
  const qmp = new Qmp(socket)
  qmp.execute('qmp_capabilities').catch(() => {}) // whoever uses the connection sees its end
  return qmp
}

/**
 * Begins a session with a QEMU that may have one already: it takes one at a
 * time, and answers the next when that one has ended. Fails when it does not within the time.
 */
export async function takeOverQmp(socket: Socket, timeoutMs: number): Promise<Qmp> {
  const qmp = new Qmp(socket)
  let late = false
  const timer = setTimeout(() => {
    late = true
    qmp.close()
  }, timeoutMs)
  try {
    await qmp.execute('qmp_capabilities')
    return qmp
  } catch (error) {
    throw late ? new PyroError('guest_unresponsive', 'the virtual machine does not answer: it was stopped, or another process is connected to it', { hint: 'end that process, or let it go on' }) : error
  } finally {
    clearTimeout(timer)
  }
}

/** Memory is in a file of its own, so device state is all that a migration carries. */
export async function migrate(qmp: Qmp, command: 'migrate' | 'migrate-incoming', uri: string): Promise<void> {
  const capabilities = ['x-ignore-shared', 'events'].map((capability) => ({ capability, state: true }))
  const ended = qmp.event(({ event, data }) => event === 'MIGRATION' && (data?.['status'] === 'completed' || data?.['status'] === 'failed'))
  ended.catch(() => {})
  await Promise.all([qmp.execute('migrate-set-capabilities', { capabilities }), qmp.execute(command, { uri })])
  if ((await ended).data?.['status'] === 'failed') throw new PyroError('template_damaged', 'QEMU could not load or save the state of a machine')
}
