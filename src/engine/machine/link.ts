import { PyroError } from '../../contract/errors.ts'
import type { Guest } from '../../guest/client.ts'
import type { Machine } from '../../vmm/vmm.ts'

/** A machine that answers does so in milliseconds; a host with no time to spare gets this much. */
export const answerTimeoutMs = 30_000

/**
 * The way to a machine's agent. The port takes one client at a time, so
 * everybody shares one connection; one that broke is opened again by the next call.
 */
export interface GuestLink extends Disposable {
  guest(): Promise<Guest>
}

/** A fresh connection to the agent of a machine. */
export async function reach(machine: Pick<Machine, 'dialControl'>): Promise<Guest> {
  const { reachGuest } = await import('../../guest/reach.ts')
  return reachGuest(() => machine.dialControl(), { timeoutMs: answerTimeoutMs })
}

/** `first` is a connection that is open already. */
export function openLink(machine: Pick<Machine, 'dialControl'>, first?: Guest): GuestLink {
  let current: Promise<Guest> | undefined
  let closed = false
  const keep = (connecting: Promise<Guest>): Promise<Guest> => {
    current = connecting
    const forget = () => void (current === connecting && (current = undefined))
    connecting.then((guest) => guest.closed.then(forget), forget)
    return connecting
  }
  if (first) void keep(Promise.resolve(first))
  return {
    async guest() {
      if (closed) throw new PyroError('guest_unresponsive', 'the machine was let go')
      return current ?? keep(reach(machine))
    },
    [Symbol.dispose]() {
      closed = true
      current?.then(
        (guest) => guest[Symbol.dispose](),
        () => {},
      )
    },
  }
}
