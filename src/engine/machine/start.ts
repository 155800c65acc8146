import { randomBytes } from 'node:crypto'
import type { Guest } from '../../guest/client.ts'
import { guestDevices, type Vmm } from '../../vmm/vmm.ts'
import { whileAlive } from '../../vmm/ended.ts'
import type { Seed } from '../seed/seed.ts'
import type { Template, TemplateSource } from '../template/manifest.ts'

/** A fork answers in a fraction of a second; a host with no time to spare gets this much. */
const answerTimeoutMs = 30_000

/** A machine that is its own: forked, answering, with its disk and seed in place. */
export interface LiveMachine extends AsyncDisposable {
  readonly id: string
  readonly pid: number
  readonly guest: Guest
  readonly vmm: Vmm
  /** Waits for something the guest does; when the VMM dies meanwhile, fails with its last words. */
  whileAlive<T>(work: Promise<T>): Promise<T>
}

interface StartOptions {
  id: string
  source: TemplateSource
  template: Template
  seed?: Seed | undefined
  signal?: AbortSignal | undefined
}

/** Forks a template and makes the fork a machine of its own. Whatever fails, nothing is left. */
export async function startMachine({ id, source, template, seed, signal }: StartOptions): Promise<LiveMachine> {
  const forking = source.vmm.fork({
    id,
    shape: source.shape,
    kernel: { ...source.kernel, tscKhz: template.tscKhz },
    drives: { environment: source.environment.rootfsImage, disk: 'disk.img', ...(seed && { seed: seed.path }) },
    copies: [{ from: template.disk, to: 'disk.img' }],
    holds: [template.lock],
    from: template,
    signal,
  })
  // Loading the RPC library takes about as long as the fork does, so both happen at once.
  const [{ connectGuest, guestError }, machine] = await Promise.all([import('../../guest/client.ts'), forking])
  try {
    const guest = await whileAlive(machine, machine.dialControl().then((socket) => connectGuest(socket, { timeoutMs: answerTimeoutMs, signal })))
    await whileAlive(
      machine,
      guest.agent
        .attach({
          hostname: id,
          machineId: randomBytes(16).toString('hex'),
          realtimeNs: BigInt(Date.now()) * 1_000_000n,
          entropy: randomBytes(64),
          diskDevice: guestDevices.disk,
          seedDevice: seed ? guestDevices.seed : '',
        })
        .catch((error: unknown) => {
          throw guestError(error, 'attaching its disk')
        }),
    )
    return {
      id,
      pid: machine.pid,
      guest,
      vmm: source.vmm,
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

export function newMachineId(): string {
  return randomBytes(6).toString('hex')
}
