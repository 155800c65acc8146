import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { resolveMachine } from '../../src/engine/machine/launch.ts'
import { guestVariables } from '../../src/engine/machine/variables.ts'
import { connectGuest, type Guest } from '../../src/guest/client.ts'
import { OutputStream } from '../../src/guest/gen/pyro/agent/v1/agent_pb.ts'
import { guestDevices, type Machine } from '../../src/vmm/vmm.ts'
import { environment, type Home } from '../behaviours/home.ts'
import { temporaryDirectory } from '../engine/temporary.ts'

const runProgram = promisify(execFile)

interface ForkOptions {
  /** An image that stays when the machine has gone; one of its own when left out. */
  disk?: string
  /** A squashfs image. */
  seed?: string
  /** Put in the place of the seed when the machine runs. */
  exchanged?: string
  leaseMs?: number
}

/** A fork whose agent the test speaks to by itself. */
export interface Fork {
  machine: Machine
  guest: Guest
  /** Runs a script as root and tells its exit code and all that it wrote. */
  run(script: string, options?: { timeoutMs?: number }): Promise<{ code: number; stdout: string; stderr: string }>
  /** Kills the VMM, which has no time to write anything. */
  kill(): Promise<void>
}

const shape = { vcpuCount: 1, memMib: 512 }

/** Forks the template and attaches to it. It lives as long as its home, unless it is ended before. */
export async function fork(home: Home, { disk, seed, exchanged, leaseMs = 0 }: ForkOptions = {}): Promise<Fork> {
  const { source, template } = await resolveMachine(home.engine, { environment, shape })
  const machine = await source.vmm.fork({
    id: randomBytes(6).toString('hex'),
    shape,
    kernel: { ...source.kernel, tscKhz: template.tscKhz },
    drives: { environment: source.environment.rootfsImage, disk: disk ?? 'disk.img', ...(seed && { seed }) },
    copies: disk ? [] : [{ from: template.disk, to: 'disk.img' }],
    from: template,
  })
  home.machines.use(machine)
  const guest = await connect(machine)
  if (exchanged) await machine.exchange('seed', exchanged)
  await guest.agent.attach({
    hostname: 'guest',
    machineId: randomBytes(16).toString('hex'),
    realtimeNs: BigInt(Date.now()) * 1_000_000n,
    entropy: randomBytes(64),
    diskDevice: guestDevices.disk,
    seedDevice: seed || exchanged ? guestDevices.seed : '',
    leaseMs: BigInt(leaseMs),
  })
  return {
    machine,
    guest,
    run: (script, { timeoutMs = 60_000 } = {}) => run(guest, script, timeoutMs),
    async kill() {
      process.kill(machine.pid, 'SIGKILL')
      await machine.ended
      await machine[Symbol.asyncDispose]()
    },
  }
}

export async function connect(machine: Machine): Promise<Guest> {
  return connectGuest(await machine.dialControl(), { timeoutMs: 30_000 })
}

export async function run({ agent }: Guest, script: string, timeoutMs = 60_000): Promise<{ code: number; stdout: string; stderr: string }> {
  const request = { execId: randomBytes(8).toString('hex'), argv: ['/bin/sh', '-c', script], cwd: '/workspace', timeoutMs: BigInt(timeoutMs) }
  const env = Object.entries(guestVariables).map(([key, value]) => `${key}=${value}`)
  const written: Record<'stdout' | 'stderr', Uint8Array[]> = { stdout: [], stderr: [] }
  let code = -1
  for await (const { event } of agent.exec({ ...request, env })) {
    if (event.case === 'output') written[event.value.stream === OutputStream.STDOUT ? 'stdout' : 'stderr'].push(event.value.data)
    if (event.case === 'exit') code = event.value.code
  }
  return { code, stdout: Buffer.concat(written.stdout).toString(), stderr: Buffer.concat(written.stderr).toString() }
}

/** A blank disk that outlasts the machines which use it. */
export async function newDisk(home: Home): Promise<string> {
  const { template } = await resolveMachine(home.engine, { environment, shape })
  const disk = join(await temporaryDirectory(), 'disk.img')
  await runProgram('cp', ['--reflink=auto', '--sparse=always', '--no-preserve=mode', template.disk, disk])
  return disk
}

/** Takes everything out of a disk that no machine uses, checkpoints included, and returns the directory. */
export async function contents(disk: string): Promise<string> {
  const directory = await temporaryDirectory()
  await runProgram('btrfs', ['restore', '--snapshots', '--ignore-errors', disk, directory])
  return directory
}

/** Fails unless a disk is consistent and holds no log that would have to be replayed. */
export async function assertClean(disk: string): Promise<void> {
  const { stdout } = await runProgram('btrfs', ['inspect-internal', 'dump-super', disk])
  if (!/^log_root\s+0$/m.test(stdout)) throw new Error(`${disk} was not unmounted: ${/^log_root.*$/m.exec(stdout)?.[0]}`)
  await runProgram('btrfs', ['check', '--readonly', disk])
}
