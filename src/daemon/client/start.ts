import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { PyroError } from '../../contract/errors.ts'
import { isBundled } from '../../host/build.ts'
import { packageRoot, type Paths } from '../../host/paths.ts'
import { prepareSocketDirectory } from '../socket.ts'
import { errorFromWire, type WireError } from '../wire.ts'
import type { Target } from './knock.ts'
import { askToLeave } from './leave.ts'

/** How long a daemon may take until it listens, one before it that leaves included. */
const startMs = 60_000
const lookMs = 15

/** Words that start a daemon, its program first. */
export type DaemonProgram = string[]

/** The descriptor on which a daemon says that it listens, or why it cannot; named by this variable of its environment. */
export const readyVariable = 'PYRO_DAEMON_READY'
const readyDescriptor = 3

/** SIGUSR1 would open a debugger's port. What streams through is garbage at once: 4 MiB for the young of it keep memory low. */
const nodeOptions = ['--disable-sigusr1', '--max-semi-space-size=4']

function usualProgram(): DaemonProgram {
  return [process.execPath, ...nodeOptions, join(packageRoot(), isBundled() ? 'dist/cli/daemon.js' : 'src/daemon/main.ts')]
}

export interface Start {
  env: NodeJS.ProcessEnv
  program?: DaemonProgram | undefined
  signal?: AbortSignal | undefined
  /** The build of a daemon that is to hand over first. */
  replaces?: string | undefined
}

/**
 * Starts the daemon unless somebody does already; resolves when one listens. Of many at once one starts it, the others wait. The right
 * to start is held from before a daemon hands over until its successor listens: nobody of its own build comes between.
 */
export async function ensureStarted(target: Target, { env, program = usualProgram(), signal, replaces }: Start): Promise<void> {
  const { paths } = target
  prepareSocketDirectory(paths)
  const { tryStartLock } = await import('../../store/lock.ts')
  const deadline = performance.now() + startMs
  for (;;) {
    signal?.throwIfAborted()
    if (replaces === undefined && (await accepts(paths.daemonSocket))) return
    const lock = tryStartLock(paths)
    try {
      if (lock) {
        if (replaces !== undefined) await askToLeave(target, { build: replaces, signal })
        if (!(await accepts(paths.daemonSocket))) await start(paths, env, program)
        return
      }
    } finally {
      lock?.[Symbol.dispose]()
    }
    if (performance.now() > deadline) throw new PyroError('daemon_failed', 'another process is starting the daemon and does not come to an end')
    await delay(lookMs)
  }
}

/** Whether somebody listens. */
export function accepts(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EAGAIN')) // more wait than the kernel lets
  })
}

/** It gets a session of its own, and none of our descriptors, so that it goes on when we and our terminal end. */
async function start(paths: Paths, env: NodeJS.ProcessEnv, [program = '', ...words]: DaemonProgram): Promise<void> {
  mkdirSync(paths.state, { recursive: true, mode: 0o700 })
  const log = openSync(paths.daemonLog, 'a', 0o600)
  try {
    const child = spawn(program, words, { cwd: '/', detached: true, stdio: ['ignore', log, log, 'pipe'], env: daemonEnvironment(paths, env) })
    const ready = child.stdio[readyDescriptor] as Readable
    try {
      const said = await Promise.race([
        firstLine(ready),
        new Promise<never>((_, reject) => child.once('error', (cause) => reject(new PyroError('daemon_failed', `the daemon could not be started: ${cause.message}`, { cause })))),
        delay(startMs, undefined, { ref: false }).then(() => Promise.reject(new PyroError('daemon_failed', `the daemon has not come up in ${startMs / 1000} s`))),
      ])
      if (said === undefined) throw new PyroError('daemon_failed', 'the daemon ended before it listened')
      const { error } = JSON.parse(said) as { error?: WireError }
      if (error) throw errorFromWire(error)
    } catch (error) {
      child.kill('SIGKILL')
      throw error
    } finally {
      ready.destroy()
      child.unref()
    }
  } finally {
    closeSync(log)
  }
}

/** Ours, with places made absolute, since its working directory is another. */
function daemonEnvironment(paths: Paths, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...rest } = env
  return {
    ...rest,
    PYRO_BASE_DIR: paths.state,
    PYRO_CACHE_DIR: paths.cache,
    PYRO_ENVIRONMENT_CACHE_DIR: paths.environments,
    PYRO_PROGRAMS_DIR: paths.programs,
    ...(paths.runtimeGiven ? { PYRO_RUNTIME_BUNDLE_DIR: paths.runtime } : {}),
    ...(isBundled() ? { NODE_COMPILE_CACHE: join(packageRoot(), 'dist/cache') } : {}),
    [readyVariable]: String(readyDescriptor),
  }
}

/** Undefined when it ends without. */
async function firstLine(stream: Readable): Promise<string | undefined> {
  let text = ''
  for await (const chunk of stream) {
    text += String(chunk)
    if (text.includes('\n')) return text.slice(0, text.indexOf('\n'))
  }
  return undefined
}
