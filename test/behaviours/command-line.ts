import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Home } from './home.ts'

const root = join(import.meta.dirname, '../..')
export const pyroProgram = join(root, 'bin/pyro')

/** Longer than any test waits; what is still there then is a fault. */
const patienceMs = 120_000

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: Buffer
  stderr: Buffer
}

interface StartOptions {
  env?: NodeJS.ProcessEnv
  cwd?: string
  /** Words before `bin/pyro`, such as `setpriv …`. */
  through?: string[]
}

/** Starts `bin/pyro`. */
export function startPyro(home: Pick<Home, 'env'>, args: string[], { env, cwd = root, through = [] }: StartOptions = {}): ChildProcess {
  const [program = '', ...words] = [...through, pyroProgram, ...args]
  return spawn(program, words, { cwd, env: { ...home.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], timeout: patienceMs, killSignal: 'SIGKILL' })
}

/** Everything that a process says until it has ended. */
export function collect(child: ChildProcess): Promise<Ended> {
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) }))
  })
}

/** Runs `bin/pyro` to its end. */
export function pyro(home: Pick<Home, 'env'>, args: string[], options?: StartOptions): Promise<Ended> {
  return collect(startPyro(home, args, options))
}
