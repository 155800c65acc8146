import { mkdir } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { PyroError } from '../../contract/errors.ts'
import { startHostMachine } from '../../vmm/host/host.ts'
import type { Engine } from '../engine.ts'
import type { Seed } from '../seed/seed.ts'
import { attach, type LiveMachine } from './attach.ts'
import { exec } from './exec.ts'
import type { Lasting } from './start.ts'
import { guestVariables, workspacePath } from './variables.ts'

interface HostCompatOptions {
  id: string
  seed?: Seed | undefined
  /** Outlives us, with a directory of its own that lasts. */
  lasting?: Lasting | undefined
  signal?: AbortSignal | undefined
}

/**
 * A machine whose commands are ordinary processes of this host, in a directory
 * that stands for the guest's root and goes with the machine. Nothing keeps a
 * command from the rest of the host, so this is only for those who asked for it.
 */
export async function startHostCompat({ paths, env }: Engine, { id, seed, lasting, signal }: HostCompatOptions): Promise<LiveMachine> {
  const root = lasting ? hostRoot(lasting) : join(paths.machines, id, 'root')
  const variables = hostVariables(env, root)
  const machine = await attach({
    id,
    vmm: { name: 'host' },
    variables,
    starting: startHostMachine(paths, { id, root, ...(lasting && { detached: { leaseSeconds: lasting.leaseSeconds }, holds: [{ path: lasting.lock, exclusive: true }] }), signal }),
    identity: { hostname: id, devices: { disk: '', seed: '' } },
    prepare: (guest) => guest.agent.prepare({}),
    signal,
  })
  try {
    for (const name of ['HOME', 'TMPDIR']) await mkdir(variables[name] ?? '', { recursive: true, mode: 0o700 })
    if (seed) await machine.whileAlive(unpack(machine, seed, signal))
    return machine
  } catch (error) {
    await machine[Symbol.asyncDispose]()
    throw error
  }
}

/** What stands for the guest's root, beside where its disk would be. */
export function hostRoot({ disk }: Pick<Lasting, 'disk'>): string {
  return join(dirname(disk), 'root')
}

/** The host's programs, but neither its user's home nor any variable that may hold a secret. */
export function hostVariables(env: NodeJS.ProcessEnv, root: string): Record<string, string> {
  const user = userInfo().username
  return { ...guestVariables, HOME: join(root, 'root'), LOGNAME: user, PATH: env['PATH'] ?? guestVariables['PATH'] ?? '', TMPDIR: join(root, 'tmp'), USER: user }
}

/** As a command of the machine, so that it ends with the machine. */
async function unpack({ guest, variables }: LiveMachine, seed: Seed, signal: AbortSignal | undefined): Promise<void> {
  let stderr = ''
  const xattrs = process.getuid?.() === 0 ? [] : ['-user-xattrs']
  const { exitCode } = await exec(guest, {
    argv: ['unsquashfs', '-quiet', '-no-progress', '-force', ...xattrs, '-dest', '.', seed.path],
    cwd: workspacePath,
    env: variables,
    timeoutMs: 0,
    onOutput: (stream, data) => void (stream === 'stderr' && (stderr = (stderr + Buffer.from(data).toString()).slice(-4096))),
    signal,
  })
  if (exitCode === 127) throw new PyroError('missing_dependency', 'unsquashfs is not installed', { hint: 'install it: apt-get install squashfs-tools' })
  if (exitCode !== 0) throw new PyroError('seed_invalid', `the seed cannot be unpacked: ${stderr.trim().split('\n').at(-1)}`)
}
