import { createHash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { exec } from '../../src/engine/machine/exec.ts'
import { type ResolvedMachine, resolveMachine } from '../../src/engine/machine/launch.ts'
import { guestVariables } from '../../src/engine/machine/variables.ts'
import type { Guest } from '../../src/guest/client.ts'
import { reachGuest } from '../../src/guest/reach.ts'
import { whileAlive } from '../../src/vmm/ended.ts'
import { guestDevices, type LaunchOptions, type Machine } from '../../src/vmm/vmm.ts'
import { environment, type Home } from '../behaviours/home.ts'

const shape = { vcpuCount: 1, memMib: 1024 }

/** A lease that no test waits for. */
export const longLease = { leaseSeconds: 600 }

export function resolve(home: Home): Promise<ResolvedMachine> {
  return resolveMachine(home.engine, { environment, shape })
}

export interface Forked {
  id: string
  machine: Machine
  resolved: ResolvedMachine
}

/** A detached fork that has not been attached. It ends with its home, however it was let go of. */
export async function forkDetached(home: Home, options: Partial<LaunchOptions> = {}, id = newId()): Promise<Forked> {
  const resolved = await resolve(home)
  const { source, template } = resolved
  home.machines.defer(() => end(resolved, id))
  const machine = await source.vmm.fork({
    id,
    shape,
    kernel: { ...source.kernel, tscKhz: template.tscKhz },
    drives: { environment: source.environment.rootfsImage, disk: 'disk.img' },
    copies: [{ from: template.disk, to: 'disk.img' }],
    holds: [{ path: template.lock, exclusive: false }],
    from: template,
    detached: longLease,
    ...options,
  })
  return { id, machine, resolved }
}

async function end({ source }: ResolvedMachine, id: string): Promise<void> {
  const left = await source.vmm.adopt(id).catch(() => undefined) // another test still has it, and ends it
  await left?.[Symbol.asyncDispose]()
}

export function newId(): string {
  return randomBytes(6).toString('hex')
}

/** Connects to the agent and has it attach. */
export async function attachTo(machine: Machine, seedDevice = ''): Promise<Guest> {
  const guest = await connect(machine)
  await whileAlive(
    machine,
    guest.agent.attach({
      hostname: machine.id,
      machineId: createHash('md5').update(machine.id).digest('hex'),
      realtimeNs: BigInt(Date.now()) * 1_000_000n,
      entropy: randomBytes(64),
      diskDevice: guestDevices.disk,
      seedDevice,
    }),
  )
  return guest
}

export function connect(machine: Machine): Promise<Guest> {
  return reachGuest(() => machine.dialControl(), { timeoutMs: 30_000 })
}

/** What a script prints; the script has to succeed. */
export async function output(machine: Machine, guest: Guest, script: string): Promise<string> {
  const text = { stdout: '', stderr: '' }
  const running = exec(guest, {
    argv: ['/bin/sh', '-c', script],
    cwd: '/workspace',
    env: guestVariables,
    timeoutMs: 60_000,
    onOutput: (stream, data) => void (text[stream] += Buffer.from(data).toString()),
  })
  const { exitCode } = await whileAlive(machine, running)
  if (exitCode !== 0) throw new Error(`${script} ended with ${exitCode}: ${text.stderr}`)
  return text.stdout
}

/** The machine's own directory. */
export function directoryOf(home: Home, id: string): string {
  return join(home.engine.paths.machines, id)
}
