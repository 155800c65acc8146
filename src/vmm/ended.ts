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

/** Waits for something the guest does; when the VMM dies meanwhile, fails with its last words. */
export async function whileAlive<T>(machine: Pick<Machine, 'ended'>, work: Promise<T>): Promise<T> {
  const died = machine.ended.then((end) => endedError(end))
  try {
    return await Promise.race([work, died.then((error) => Promise.reject(error))])
  } catch (error) {
    work.catch(() => {}) // when the machine's end came first
    if (!(error instanceof PyroError) || error.code !== 'guest_unresponsive') throw error
    // The link breaks a moment before the VMM's end is known.
    throw await Promise.race([died, new Promise((none) => setTimeout(() => none(error), 200))])
  }
}
