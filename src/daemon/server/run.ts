import { closeSync, mkdirSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { PyroError } from '../../contract/errors.ts'
import { buildId } from '../../host/build.ts'
import { resolvePaths } from '../../host/paths.ts'
import { daemonTitle } from '../socket.ts'
import { errorToWire } from '../wire.ts'
import type { Backend } from './backend.ts'
import { framesOf, openLog } from './log.ts'
import { serve } from './serve.ts'

const defaultIdleSeconds = 30

interface RunOptions {
  backend: () => Promise<Backend>
  build?: string
}

/** Makes this process the daemon of the state directory that its environment names; ends it when the daemon has left. */
export async function runDaemon(env: NodeJS.ProcessEnv, { backend, build = buildId() }: RunOptions): Promise<never> {
  const paths = resolvePaths(env)
  let ready = env['PYRO_DAEMON_READY']
  for (const ours of ['PYRO_DAEMON_READY', 'NODE_COMPILE_CACHE']) delete env[ours] // not for programs that we start
  closeInherited(Number(ready))
  process.umask(0o077)
  process.chdir('/')
  process.title = daemonTitle
  try {
    const idleMs = idleSeconds(env) * 1000
    mkdirSync(paths.state, { recursive: true, mode: 0o700 })
    const log = openLog(paths.daemonLog)
    process.on('uncaughtException', (error) => {
      log('crashed', { at: framesOf(error) })
      process.exit(70)
    })
    const daemon = await serve({ paths, env, build, idleMs, log, backend })
    const asked = (signal: NodeJS.Signals) => {
      process.on(signal, () => process.exit(1)) // asked again: at once
      void daemon.leave(`${signal}`)
    }
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, asked)
    process.on('SIGHUP', () => {}) // the terminal that it was started from
    if (ready !== undefined) tell(ready, {})
    ready = undefined // its number may be another's by now
    await daemon.left
    process.exit(0)
  } catch (thrown) {
    const error = PyroError.from(thrown)
    if (ready !== undefined) tell(ready, { error: errorToWire(error) })
    else process.stderr.write(`[error] ${error.message}\n[hint] ${error.hint}\n`)
    process.exit(1)
  }
}

const closedOnExec = 0o2000000

/** What whoever started us had open must not stay open with us: it may be a lock, or a pipe whose end somebody waits for. */
function closeInherited(except: number): void {
  for (const descriptor of readdirSync('/proc/self/fd').map(Number)) {
    if (descriptor <= 2 || descriptor === except) continue
    try {
      const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'))?.[1] ?? ''
      if ((Number.parseInt(flags, 8) & closedOnExec) === 0) closeSync(descriptor) // Node's own are all closed on exec
    } catch {
      // Closed by now: that of the directory itself.
    }
  }
}

function idleSeconds(env: NodeJS.ProcessEnv): number {
  const given = env['PYRO_DAEMON_IDLE_SECONDS']
  if (!given) return defaultIdleSeconds
  if (!/^\d+$/.test(given)) {
    throw new PyroError('invalid_argument', `PYRO_DAEMON_IDLE_SECONDS must be a number of seconds, not '${given}'`, { hint: 'unset it, or give a number' })
  }
  return Number(given)
}

/** Says to whoever started us that we listen, or why not. The descriptor is closed. */
function tell(descriptor: string, said: object): void {
  try {
    writeSync(Number(descriptor), `${JSON.stringify(said)}\n`)
    closeSync(Number(descriptor))
  } catch {
    // It has gone, or knows already.
  }
}
