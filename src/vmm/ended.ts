import { PyroError } from '../contract/errors.ts'
import type { MachineEnd } from './vmm.ts'

/** How the end of a VMM is told when nobody asked for it. */
export function endedError({ code, signal, console }: MachineEnd): PyroError {
  const how = signal ? `was ended by ${signal}` : `exited with ${code ?? 'an unknown code'}`
  const tail = console.trimEnd().split('\n').slice(-5).join(' | ').replace(/\p{Cc}/gu, ' ')
  return new PyroError('vmm_exited', `the virtual machine ${how}${tail && `; its last lines: ${tail}`}`, {
    hint: '`pyro doctor` boots a guest and says what works here',
    details: { console },
  })
}
