import { PyroError } from '../contract/errors.ts'
import type { Machine, MachineEnd } from './vmm.ts'

/** How the end of a VMM is told when nobody asked for it. */
export function endedError({ code, signal, console }: MachineEnd): PyroError {
  const how = signal ? `was ended by ${signal}` : `exited with ${code ?? 'an unknown code'}`
  const lines = console.trimEnd().split('\n')
  const panic = lines.findLastIndex((line) => line.includes('Kernel panic'))
  const tail = (panic < 0 ? lines.slice(-5) : lines.slice(panic, panic + 5)).join(' | ').replace(/\p{Cc}/gu, ' ')
  return new PyroError('vmm_exited', `the virtual machine ${how}${tail && `; its last lines: ${tail}`}`, {
    hint: '`pyro doctor` boots a guest and says what works here',
    details: { console },
  })
}

/** How long the end of a VMM may take to be known after its link broke. */
const newsMs = 200

/** Waits for something the guest does; when the VMM dies meanwhile, fails with its last words. */
export async function whileAlive<T>(machine: Pick<Machine, 'ended'>, work: Promise<T>): Promise<T> {
  const died = Promise.withResolvers<never>()
  died.promise.catch(() => {})
  const forget = onEnd(machine, (end) => died.reject(endedError(end)))
  try {
    return await Promise.race([work, died.promise])
  } catch (error) {
    work.catch(() => {}) // when the machine's end came first
    if (!(error instanceof PyroError) || error.code !== 'guest_unresponsive') throw error
    // The link breaks a moment before the VMM's end is known.
    throw await Promise.race([died.promise.catch((end: unknown) => end), new Promise((none) => setTimeout(() => none(error), newsMs))])
  } finally {
    forget()
  }
}

interface Mourners {
  end: MachineEnd | undefined
  listeners: Set<(end: MachineEnd) => void>
}

/** Those who wait for the end of each machine. A promise keeps all that ever waited for it, and a machine may live for months. */
const mourners = new WeakMap<Promise<MachineEnd>, Mourners>()

function onEnd({ ended }: Pick<Machine, 'ended'>, listener: (end: MachineEnd) => void): () => void {
  const known = mourners.get(ended) ?? watch(ended)
  if (known.end) listener(known.end)
  known.listeners.add(listener)
  return () => known.listeners.delete(listener)
}

function watch(ended: Promise<MachineEnd>): Mourners {
  const waiting: Mourners = { end: undefined, listeners: new Set() }
  mourners.set(ended, waiting)
  const tell = (end: MachineEnd) => {
    waiting.end = end
    for (const listener of waiting.listeners) listener(end)
  }
  void ended.then(tell)
  return waiting
}
