import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { noSpace, PyroError } from '../contract/errors.ts'

/** A program of the host and how to run it. No shell is ever between. */
export interface Command {
  program: string
  args: string[]
  cwd?: string
  /** Added to our own environment. */
  env?: Record<string, string>
}

interface RunOptions {
  signal?: AbortSignal | undefined
  /** Called with every line of the (first) program's stderr. */
  onLine?: ((line: string) => void) | undefined
  /** Called with the (first) program's process id, which is its process group's too. */
  onStart?: ((pid: number) => void) | undefined
}

/** A program that ended with something else than exit code 0. */
export class ProgramFailure extends Error {
  override readonly name = 'ProgramFailure'
  readonly program: string
  readonly stderr: string

  constructor(program: string, end: string, stderr: string) {
    const last = stderr.trim().split('\n').at(-1)
    super(`${program} ended with ${end}${last ? `: ${last}` : ''}`)
    this.program = program
    this.stderr = stderr
  }
}

const stderrTailCharacters = 8192
const killGraceMs = 5000
/** How a program that runs another one says that it is not there. */
const notFound = /^(?:setpriv|unshare): failed to execute (\S+): No such file/m

/** Where Debian and Ubuntu keep the programs that we run, by package. */
const packages: Record<string, string> = {
  'apt-get': 'apt',
  'apt-cache': 'apt',
  'dpkg-deb': 'dpkg',
  lz4: 'lz4',
  'mkfs.btrfs': 'btrfs-progs',
  mmdebstrap: 'mmdebstrap',
  setpriv: 'util-linux',
  sqfstar: 'squashfs-tools',
  unshare: 'util-linux',
}

/** Runs a program to its end and resolves to what it wrote to stdout. */
export async function run(command: Command, { signal, onLine, onStart }: RunOptions = {}): Promise<string> {
  signal?.throwIfAborted()
  const child = start(command, ['ignore', 'pipe', 'pipe'])
  if (child.pid !== undefined) onStart?.(child.pid)
  const chunks: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
  await ended(child, command, { signal, onLine })
  return Buffer.concat(chunks).toString()
}

/** Runs two programs, the stdout of the first being the stdin of the second; both have to succeed. */
export async function runPiped(from: Command, to: Command, { signal, onLine, onStart }: RunOptions = {}): Promise<void> {
  signal?.throwIfAborted()
  const other = new AbortController()
  const either = signal ? AbortSignal.any([signal, other.signal]) : other.signal
  // The reader starts first, so that the pipe goes from child to child and its bytes never pass through us.
  const reader = start(to, ['pipe', 'ignore', 'pipe'])
  const readerEnded = ended(reader, to, { signal: either })
  const writer = start(from, ['ignore', reader.stdin, 'pipe'])
  if (writer.pid !== undefined) onStart?.(writer.pid)
  reader.stdin?.destroy()
  const writerEnded = ended(writer, from, { signal: either, onLine })
  const ends = [writerEnded, readerEnded].map((end) =>
    end.catch((error: unknown) => {
      other.abort(error)
      throw error
    }),
  )
  const results = await Promise.allSettled(ends)
  signal?.throwIfAborted()
  // A reader that fails makes the writer fail of a broken pipe, and an early end of the writer is a truncated
  // stream to the reader: the failure that came first is the one that says why.
  if (other.signal.aborted) throw other.signal.reason
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

function start({ program, args, cwd, env }: Command, stdio: StdioOptions): ChildProcess {
  // An ordinary user's PATH on Debian lacks the sbin directories.
  const path = `${process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin'}:/usr/sbin:/sbin`
  // Its own process group, so that a cancelled program ends with all that it started.
  // `setpriv` ends it as well when we die without a word.
  return spawn('setpriv', ['--pdeathsig', 'TERM', program, ...args], {
    cwd,
    detached: true,
    stdio,
    env: { ...process.env, LC_ALL: 'C', ...env, PATH: path },
  })
}

function ended(child: ChildProcess, { program }: Command, { signal, onLine }: RunOptions): Promise<void> {
  let stderr = ''
  if (child.stderr) {
    createInterface({ input: child.stderr }).on('line', (line) => {
      stderr = `${stderr}${line}\n`.slice(-stderrTailCharacters)
      onLine?.(line)
    })
  }
  let killer: NodeJS.Timeout | undefined
  const stop = () => {
    kill(child, 'SIGTERM')
    killer = setTimeout(() => kill(child, 'SIGKILL'), killGraceMs)
  }
  signal?.addEventListener('abort', stop, { once: true })
  if (signal?.aborted) stop()
  return new Promise<void>((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => reject(cause.code === 'ENOENT' ? missing('setpriv', cause) : cause))
    child.once('close', (code, how) => {
      if (signal?.aborted) reject(signal.reason)
      else if (code === 0) resolve()
      else if (code === 127 && notFound.test(stderr)) reject(missing(notFound.exec(stderr)?.[1] ?? program))
      else if (/no space left on device/i.test(stderr)) reject(noSpace(`${program} could not write`))
      else reject(new ProgramFailure(program, how ?? `exit code ${code}`, stderr))
    })
  }).finally(() => {
    clearTimeout(killer)
    signal?.removeEventListener('abort', stop)
  })
}

function kill(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // ended in between
  }
}

function missing(program: string, cause?: unknown): PyroError {
  const debianPackage = packages[program]
  return new PyroError('missing_dependency', `${program} is not installed`, {
    hint: debianPackage ? `install it: apt-get install ${debianPackage}` : `install ${program} and put it on PATH`,
    details: { program },
    cause,
  })
}
