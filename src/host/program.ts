import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type ErrorCode, noSpace, notWritable, PyroError } from '../contract/errors.ts'
import type { Paths } from './paths.ts'

/** What `pyro-host` says, one JSON object a line. */
export interface HostEvent {
  event: string
  [field: string]: unknown
}

/** How an error line of `pyro-host` is told to the user. */
const hostErrors: Record<string, (message: string) => PyroError> = {
  no_space: (message) => noSpace(message),
  not_writable: (message) => notWritable(message),
  locked: (message) => new PyroError('conflict', message, { hint: 'a machine that is ending lets go of it in a moment: try again' }),
  no_vmm: (message) => new PyroError('vmm_missing', message, { hint: 'install QEMU: apt-get install qemu-system-x86' }),
  socket_path_too_long: (message) =>
    new PyroError('path_too_long', message, { hint: 'set XDG_RUNTIME_DIR to a shorter directory, such as /run/user/$(id -u)' }),
  unreadable: (message) => new PyroError('seed_invalid', message, { hint: 'make it readable, or leave it out of the seed' }),
  unsafe_member: (message) => new PyroError('seed_invalid', message, { hint: 'repack the archive with relative names only' }),
}

/** Turns an error line of `pyro-host` into the error a user sees. */
export function hostError(event: HostEvent, fallback: ErrorCode): PyroError {
  const message = String(event['message'] ?? 'pyro-host failed')
  return hostErrors[String(event['code'])]?.(message) ?? new PyroError(fallback, message)
}

export interface HostProgram extends AsyncDisposable {
  child: ChildProcess
  /** Reads on until an event of one of these kinds; rejects on an error event or when the program ends first. */
  next(...kinds: string[]): Promise<HostEvent>
  send(message: unknown): void
  /** Closes its stdin, which ends it, and waits for that. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts a subcommand of `pyro-host`. It lives no longer than we do: it watches its stdin. */
export function startHostProgram(paths: Paths, args: string[], fallback: ErrorCode, onEvent?: (event: HostEvent) => void): HostProgram {
  const child = spawn(join(paths.programs, 'pyro-host'), args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  const queue: HostEvent[] = []
  let wake = () => {}
  let ended: PyroError | undefined
  let stderr = ''
  const { stdin, stdout, stderr: errors } = child
  stdin.on('error', () => {}) // the end is reported by 'close'
  errors.on('data', (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-4096)))
  createInterface({ input: stdout }).on('line', (line) => {
    const event = JSON.parse(line) as HostEvent
    onEvent?.(event)
    queue.push(event)
    wake()
  })
  const closed = new Promise<void>((done) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      ended = new PyroError('missing_dependency', `cannot run ${cause.path ?? 'pyro-host'}: ${cause.code ?? cause.message}`, {
        hint: 'run scripts/setup, which builds it',
        cause,
      })
      wake()
      done()
    })
    child.once('close', (code, signal) => {
      ended ??= new PyroError(fallback, `pyro-host ${args[0]} ended with ${signal ?? code}${stderr && `: ${stderr.trim().split('\n').at(-1)}`}`)
      wake()
      done()
    })
  })
  return {
    child,
    send: (message) => void stdin.write(`${JSON.stringify(message)}\n`),
    async next(...kinds) {
      for (;;) {
        for (let event = queue.shift(); event; event = queue.shift()) {
          if (event.event === 'error') throw hostError(event, fallback)
          if (kinds.includes(event.event)) return event
        }
        if (ended) throw ended
        await new Promise<void>((resume) => (wake = resume))
      }
    },
    async [Symbol.asyncDispose]() {
      stdin.end()
      await closed
    },
  }
}

interface LockOptions {
  signal?: AbortSignal | undefined
  /** Called once when somebody else holds it. */
  onWait?: (() => void) | undefined
}

/** Holds an exclusive lock on a file, made when missing, until disposed of or until this process dies. */
export async function fileLock(paths: Paths, path: string, { signal, onWait }: LockOptions = {}): Promise<AsyncDisposable> {
  const program = startHostProgram(paths, ['lock', '--wait-notice', path], 'not_writable', (event) => {
    if (event.event === 'waiting') onWait?.()
  })
  const abort = () => program.child.kill()
  signal?.addEventListener('abort', abort)
  try {
    await program.next('locked')
    signal?.throwIfAborted()
    return program
  } catch (error) {
    await program[Symbol.asyncDispose]()
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

/** Removes those directories that no living process has locked. Resolves to the ones removed. */
export async function reap(paths: Paths, directories: string[]): Promise<string[]> {
  const reaped: string[] = []
  await using program = startHostProgram(paths, ['reap', ...directories], 'internal', (event) => {
    if (event.event === 'reaped') reaped.push(String(event['path']))
  })
  await new Promise((done) => program.child.once('close', done))
  return reaped
}
