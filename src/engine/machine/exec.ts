import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { PyroError } from '../../contract/errors.ts'
import { type Guest, guestError } from '../../guest/client.ts'
import { type ExecEvent, OutputStream } from '../../guest/gen/pyro/agent/v1/agent_pb.ts'
import { longestTimerMs } from '../clock.ts'
import type { GuestLink } from './link.ts'

/** Receives every byte in order, each stream apart. The guest's process is held while a promise is pending. */
export type OutputSink = (stream: 'stdout' | 'stderr', data: Uint8Array) => void | Promise<void>

export interface ExecOptions {
  /** Unique in the machine's life. */
  execId?: string
  argv: string[]
  cwd: string
  /** The whole environment. */
  env: Record<string, string>
  /** 0: none. */
  timeoutMs: number
  onOutput: OutputSink
  /** What the command reads; nothing when left out. */
  stdin?: AsyncIterable<Uint8Array> | undefined
  /** What the command leaves in the background goes on when it has ended by itself. */
  keepBackground?: boolean
  /** Ends the command, and every process it started, when aborted. */
  signal?: AbortSignal | undefined
}

export interface ExecEnd {
  /** 0 to 255; 128 and the signal's number when a signal ended it; 124 when its time was over. */
  exitCode: number
  timedOut: boolean
  /** As the guest's clock saw it, from start to end. */
  durationUs: number
  /** What the agent needed for the call in all. */
  handledUs: number
}

/** How far the output of a command is known, in bytes. */
export interface Offsets {
  stdout: bigint
  stderr: bigint
}

const sigkill = 9
/** How long a guest has to tell the end of a command that it was told to end. */
const endPatienceMs = 5000
/** The guest ends a command in time by itself; one that does not, nor says so, is given up after this much more. */
const overtimeMs = 60_000

/** So often in a row a command is taken up again without getting on: for about 10 s. */
const mostFruitless = 45

const streamNames: Partial<Record<OutputStream, 'stdout' | 'stderr'>> = { [OutputStream.STDOUT]: 'stdout', [OutputStream.STDERR]: 'stderr' }

function misbehaved(how: string): PyroError {
  return new PyroError('guest_failed', `the guest ${how} while running a command`)
}

/**
 * Runs one process to its end. It is started at most once: a link that breaks
 * is an error, never a second try. Output that the guest sends out of order or
 * twice is a fault of the guest and fails the call.
 */
export function exec(guest: Guest, options: ExecOptions): Promise<ExecEnd> {
  const execId = options.execId ?? randomUUID()
  const source = async () => guest
  return attended(source, { ...options, execId }, () => readEvents(begin(guest, { ...options, execId }), { stdout: 0n, stderr: 0n }, options.onOutput))
}

/** As `exec`, but a link that breaks is opened again and the command's output taken up where it was. */
export function execOver(link: GuestLink, options: ExecOptions & { execId: string }): Promise<ExecEnd> {
  const seen: Offsets = { stdout: 0n, stderr: 0n }
  return attended(() => link.guest(), options, async () => {
    const guest = await link.guest()
    try {
      return await readEvents(begin(guest, options), seen, options.onOutput)
    } catch (error) {
      if (!lost(error)) throw error
      return follow(link, options.execId, seen, options)
    }
  })
}

interface FollowOptions {
  onOutput: OutputSink
  signal?: AbortSignal | undefined
  timeoutMs?: number
  /** Output that the guest holds no more is left out instead of an error. */
  lossy?: boolean
}

/** Takes up a command that was started before: its output from `seen` on, and its end. */
export function followOver(link: GuestLink, execId: string, seen: Offsets, options: FollowOptions): Promise<ExecEnd> {
  return attended(() => link.guest(), { execId, timeoutMs: 0, ...options }, () => follow(link, execId, seen, options))
}

async function follow(link: GuestLink, execId: string, seen: Offsets, { onOutput, signal, lossy = false }: FollowOptions): Promise<ExecEnd> {
  for (let fruitless = 0; ; ) {
    signal?.throwIfAborted()
    const { agent } = await link.guest()
    const before = seen.stdout + seen.stderr
    try {
      return await readEvents(agent.follow({ execId, stdoutOffset: seen.stdout, stderrOffset: seen.stderr, lossy }), seen, onOutput, lossy)
    } catch (error) {
      fruitless = seen.stdout + seen.stderr > before ? 1 : fruitless + 1
      if (!lost(error) || fruitless > mostFruitless) throw error
      await delay(10 * fruitless) // a guest that cuts every connection is not asked without pause
    }
  }
}

function begin({ agent }: Guest, { execId, argv, cwd, env, timeoutMs, stdin, keepBackground = false }: ExecOptions & { execId: string }): AsyncIterable<ExecEvent> {
  const events = agent.exec({
    execId,
    argv,
    cwd,
    env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
    timeoutMs: BigInt(timeoutMs),
    stdin: stdin !== undefined,
    keepBackground,
  })
  return stdin === undefined ? events : fed(events, stdin, { agent }, execId)
}

/** Feeds the command from its start on, for as long as it lives. */
async function* fed(events: AsyncIterable<ExecEvent>, stdin: AsyncIterable<Uint8Array>, { agent }: Pick<Guest, 'agent'>, execId: string): AsyncGenerator<ExecEvent> {
  const over = new AbortController()
  try {
    for await (const event of events) {
      if (event.event.case === 'started') void agent.stdin(pieces(stdin, execId), { signal: over.signal }).catch(() => {})
      yield event
    }
  } finally {
    over.abort()
  }
}

/** What one message may carry stays far below the limit of the link. */
const pieceBytes = 64 * 1024

async function* pieces(stdin: AsyncIterable<Uint8Array>, execId: string) {
  yield { execId, data: new Uint8Array() }
  for await (const chunk of stdin) {
    for (let at = 0; at < chunk.length; at += pieceBytes) yield { execId: '', data: chunk.subarray(at, at + pieceBytes) }
  }
}

async function readEvents(events: AsyncIterable<ExecEvent>, seen: Offsets, onOutput: OutputSink, lossy = false): Promise<ExecEnd> {
  try {
    for await (const { event } of events) {
      if (event.case === 'output') {
        const { stream, offset, data } = event.value
        const name = streamNames[stream]
        if (name === undefined || (lossy ? offset < seen[name] : offset !== seen[name])) throw misbehaved('sent output out of order')
        seen[name] = offset + BigInt(data.length)
        await onOutput(name, data)
      } else if (event.case === 'exit') {
        const { code, timedOut, durationUs, handledUs } = event.value
        if (code < 0 || code > 255) throw misbehaved(`sent the exit code ${code}`)
        return { exitCode: timedOut ? 124 : code, timedOut, durationUs: Number(durationUs), handledUs: Number(handledUs) }
      }
    }
  } catch (error) {
    throw guestError(error, 'running a command')
  }
  throw misbehaved('sent no exit code')
}

function lost(error: unknown): boolean {
  return error instanceof PyroError && error.code === 'guest_unresponsive'
}

/** Ends a command, also one that the guest is only about to start. */
async function kill(source: () => Promise<Guest>, execId: string, over: () => boolean): Promise<void> {
  for (let wait = 10; !over() && wait < endPatienceMs; wait *= 2) {
    try {
      const { agent } = await source()
      return void (await agent.signal({ execId, signal: sigkill, all: true }))
    } catch {
      await delay(wait, undefined, { ref: false })
    }
  }
}

/** Ends the command when the caller gives up, and gives a guest up that does not tell an end. */
async function attended(
  source: () => Promise<Guest>,
  { execId, timeoutMs, signal }: { execId: string; timeoutMs: number; signal?: AbortSignal | undefined },
  work: () => Promise<ExecEnd>,
): Promise<ExecEnd> {
  signal?.throwIfAborted()
  let giveUp: (error: unknown) => void
  const givenUp = new Promise<never>((_, reject) => (giveUp = reject))
  const timers: NodeJS.Timeout[] = []
  let over = false
  const abort = () => {
    void kill(source, execId, () => over)
    timers.push(setTimeout(() => giveUp(signal?.reason), endPatienceMs))
  }
  if (timeoutMs > 0) {
    const overtime = () => giveUp(new PyroError('guest_unresponsive', `the guest did not end a command within ${Math.round((timeoutMs + overtimeMs) / 1000)} s`))
    timers.push(setTimeout(overtime, Math.min(timeoutMs + overtimeMs, longestTimerMs)))
  }
  signal?.addEventListener('abort', abort)
  try {
    const working = work()
    working.catch(() => {}) // when it was given up
    const end = await Promise.race([working, givenUp])
    signal?.throwIfAborted()
    return end
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    over = true
    for (const timer of timers) clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}
