import { randomBytes } from 'node:crypto'
import type { Guest } from '../../guest/client.ts'
import { whileAlive } from '../../vmm/ended.ts'
import type { Machine, VmmName } from '../../vmm/vmm.ts'
import { answerTimeoutMs } from './link.ts'

/** What a crash left on a disk is replayed when it is attached. */
const attachTimeoutMs = 120_000

/** A machine that is its own: answering, with its disk and seed in place. */
export interface LiveMachine extends AsyncDisposable {
  readonly id: string
  readonly pid: number
  /** Disposing of this object ends it; it is there for what else can be done to a machine. */
  readonly machine: Machine
  readonly guest: Guest
  /** `host` is no VMM: commands run on this host, without isolation. */
  readonly vmm: { readonly name: VmmName | 'host' }
  /** The environment of every command, before what its caller adds. */
  readonly variables: Record<string, string>
  /** Waits for something the guest does; when the VMM dies meanwhile, fails with its last words. */
  whileAlive<T>(work: Promise<T>): Promise<T>
}

/** What makes a fork a machine of its own. */
export interface Identity {
  /** What the guest calls itself. */
  hostname: string
  /** 32 hexadecimal digits that stay the same for as long as the disk lives; random when left out. */
  systemId?: string | undefined
  /** Without a host for so long the guest flushes its disk and powers itself off. 0: never. */
  leaseMs?: number
  /** Where the guest finds them; empty when there is none. */
  devices: { disk: string; seed: string }
}

interface AttachOptions extends Pick<LiveMachine, 'id' | 'vmm' | 'variables'> {
  starting: Promise<Machine>
  identity: Identity
  /** What has to happen before the agent may attach. */
  prepare?: (guest: Guest) => Promise<unknown>
  signal?: AbortSignal | undefined
}

/** Makes a machine that is being started one of its own. Whatever fails, nothing is left. */
export async function attach({ id, vmm, variables, starting, identity, prepare, signal }: AttachOptions): Promise<LiveMachine> {
  // Loading the RPC library takes about as long as a fork does, so both happen at once.
  const [{ reachGuest }, machine] = await Promise.all([import('../../guest/reach.ts'), starting])
  try {
    const guest = await whileAlive(machine, reachGuest(() => machine.dialControl(), { timeoutMs: answerTimeoutMs, signal }))
    await whileAlive(machine, (prepare?.(guest) ?? Promise.resolve()).then(() => identify(guest, identity)))
    return liveMachine({ id, vmm, variables, machine, guest })
  } catch (error) {
    await machine[Symbol.asyncDispose]()
    throw error
  }
}

/** A machine whose agent has attached. */
function liveMachine({ id, vmm, variables, machine, guest }: Pick<LiveMachine, 'id' | 'vmm' | 'variables' | 'machine' | 'guest'>): LiveMachine {
  return {
    id,
    pid: machine.pid,
    machine,
    guest,
    vmm,
    variables,
    whileAlive: (work) => whileAlive(machine, work),
    async [Symbol.asyncDispose]() {
      guest[Symbol.dispose]()
      await machine[Symbol.asyncDispose]()
    },
  }
}

/** Has the agent of a fork attach: identity, randomness, clock, disk and seed. Allowed once in a machine's life. */
export async function identify(guest: Guest, { hostname, systemId, leaseMs = 0, devices }: Identity): Promise<void> {
  try {
    await guest.agent.attach(
      {
        hostname,
        machineId: systemId ?? randomBytes(16).toString('hex'),
        realtimeNs: realtimeNs(),
        entropy: randomBytes(64),
        diskDevice: devices.disk,
        seedDevice: devices.seed,
        leaseMs: BigInt(leaseMs),
      },
      { timeoutMs: attachTimeoutMs },
    )
    await setClock(guest)
  } catch (error) {
    const { guestError } = await import('../../guest/client.ts')
    throw guestError(error, 'attaching its disk')
  }
}

/** Sets the guest's time of day, which stands still while the machine does. */
export async function setClock(guest: Guest): Promise<void> {
  await guest.agent.setClock({ realtimeNs: realtimeNs() }, { timeoutMs: answerTimeoutMs })
}

function realtimeNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n
}
