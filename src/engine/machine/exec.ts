import { randomUUID } from 'node:crypto'
import { PyroError } from '../../contract/errors.ts'
import { type Guest, guestError } from '../../guest/client.ts'
import { OutputStream } from '../../guest/gen/pyro/agent/v1/agent_pb.ts'

export interface ExecOptions {
  argv: string[]
  cwd: string
  /** The whole environment. */
  env: Record<string, string>
  /** 0: none. */
  timeoutMs: number
  /** Receives every byte in order, each stream apart. The guest's process is held while a promise is pending. */
  onOutput: (stream: 'stdout' | 'stderr', data: Uint8Array) => void | Promise<void>
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

const sigkill = 9

const streamNames: Partial<Record<OutputStream, 'stdout' | 'stderr'>> = { [OutputStream.STDOUT]: 'stdout', [OutputStream.STDERR]: 'stderr' }

function misbehaved(how: string): PyroError {
  return new PyroError('guest_failed', `the guest ${how} while running a command`)
}

/**
 * Runs one process to its end. It is started at most once: a link that breaks
 * is an error, never a second try. Output that the guest sends out of order or
 * twice is a fault of the guest and fails the call.
 */
export async function exec({ agent }: Guest, { argv, cwd, env, timeoutMs, onOutput, signal }: ExecOptions): Promise<ExecEnd> {
  const execId = randomUUID()
  const abort = () => void agent.signal({ execId, signal: sigkill, all: true }).catch(() => {})
  try {
    signal?.throwIfAborted()
    const events = agent.exec({ execId, argv, cwd, env: Object.entries(env).map(([key, value]) => `${key}=${value}`), timeoutMs: BigInt(timeoutMs) })
    signal?.addEventListener('abort', abort)
    const seen = { stdout: 0n, stderr: 0n }
    for await (const { event } of events) {
      if (event.case === 'output') {
        const { stream, offset, data } = event.value
        const name = streamNames[stream]
        if (name === undefined || offset !== seen[name]) throw misbehaved('sent output out of order')
        seen[name] += BigInt(data.length)
        await onOutput(name, data)
      } else if (event.case === 'exit') {
        signal?.throwIfAborted()
        const { code, timedOut, durationUs, handledUs } = event.value
        if (code < 0 || code > 255) throw misbehaved(`sent the exit code ${code}`)
        return { exitCode: timedOut ? 124 : code, timedOut, durationUs: Number(durationUs), handledUs: Number(handledUs) }
      }
    }
    throw misbehaved('sent no exit code')
  } catch (error) {
    signal?.throwIfAborted()
    throw guestError(error, 'running a command')
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}
