import { randomBytes } from 'node:crypto'
import type { Guest } from '../../guest/client.ts'
import { whileAlive } from '../../vmm/ended.ts'
import type { Machine, VmmName } from '../../vmm/vmm.ts'

/** A fork answers in a fraction of a second; a host with no time to spare gets this much. */
const answerTimeoutMs = 30_000

/** A machine that is its own: answering, with its disk and seed in place. */
export interface LiveMachine extends AsyncDisposable {
  readonly id: string
  readonly pid: number
  readonly guest: Guest
  /** `host` is no VMM: commands run on this host, without isolation. */
  readonly vmm: { readonly name: VmmName | 'host' }
  /** The environment of every command, before what its caller adds. */
  readonly variables: Record<string, string>
  /** Waits for something the guest does; when the VMM dies meanwhile, fails with its last words. */
  whileAlive<T>(work: Promise<T>): Promise<T>
}

interface AttachOptions extends Pick<LiveMachine, 'id' | 'vmm' | 'variables'> {
  starting: Promise<Machine>
  /** Where the guest finds them; empty when there is none. */
  devices: { disk: string; seed: string }
  /** What has to happen before the agent may attach. */
  prepare?: (guest: Guest) => Promise<unknown>
  signal?: AbortSignal | undefined
}

/** Makes a machine that is being started one of its own. Whatever fails, nothing is left. */
export async function attach({ id, vmm, variables, starting, devices, prepare, signal }: AttachOptions): Promise<LiveMachine> {
  // Loading the RPC library takes about as long as a fork does, so both happen at once.
  const [{ connectGuest, guestError }, machine] = await Promise.all([import('../../guest/client.ts'), starting])
  try {
    const guest = await whileAlive(machine, machine.dialControl().then((socket) => connectGuest(socket, { timeoutMs: answerTimeoutMs, signal })))
    const attaching = async () => {
      await prepare?.(guest)
      await guest.agent.attach({
        hostname: id,
        machineId: randomBytes(16).toString('hex'),
        realtimeNs: realtimeNs(),
        entropy: randomBytes(64),
        diskDevice: devices.disk,
        seedDevice: devices.seed,
      })
      await guest.agent.setClock({ realtimeNs: realtimeNs() })
    }
    await whileAlive(
      machine,
      attaching().catch((error: unknown) => {
        throw guestError(error, 'attaching its disk')
      }),
    )
    return {
      id,
      pid: machine.pid,
      guest,
      vmm,
      variables,
      whileAlive: (work) => whileAlive(machine, work),
      async [Symbol.asyncDispose]() {
        guest[Symbol.dispose]()
        await machine[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await machine[Symbol.asyncDispose]()
    throw error
  }
}

function realtimeNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n
}
