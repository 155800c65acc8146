import { randomUUID } from 'node:crypto'
import type { Call } from '../../contract/call.ts'
import { PyroError } from '../../contract/errors.ts'
import { capturedBytes } from '../../contract/run.ts'
import type { CommandEnd, CommandRow } from '../../store/rows.ts'
import { whileAlive } from '../../vmm/ended.ts'
import { now } from '../clock.ts'
import { Capture } from '../machine/capture.ts'
import { type ExecEnd, type ExecOptions, execOver, type OutputSink } from '../machine/exec.ts'
import { shellCommand } from '../machine/variables.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import { OutputFiles, type StreamName } from './command-files.ts'
import { sandboxFiles } from './directory.ts'
import type { Stay } from './enter.ts'
import { evenWhenFull } from './reserve.ts'
import { RunningCommand } from './running-command.ts'
import type { Live, Sandbox } from './sandbox.ts'

export interface CommandOptions extends Pick<Call, 'onOutput' | 'onStarted' | 'stdin'> {
  command: string
  cwd: string
  env: Record<string, string>
  timeoutSeconds: number
}

export interface CommandOutcome {
  row: CommandRow
  end: ExecEnd
  stdout: Capture
  stderr: Capture
}

/** What the exit code of a command is that was ended because its caller gave up, or its machine was stopped. */
export const killedExitCode = 137

/**
 * Runs a command line in a sandbox and logs it. It is on record before it
 * starts, and what it writes is kept as it comes, so that whoever owns the
 * sandbox after us can see it to its end. It is started at most once.
 */
export async function runCommand(orchestrator: Orchestrator, stay: Stay, live: Live, { command, cwd, env, timeoutSeconds, onOutput, onStarted, stdin }: CommandOptions): Promise<CommandOutcome> {
  const { store } = orchestrator
  const { sandbox } = stay
  const { executionMode, ttlSeconds } = stay.row()
  const execId = randomUUID()
  const recordedAt = now()
  const row = store.nextCommand(sandbox.id, {
    ...{ execId, machineId: live.machine.id, command, cwd, executionMode, recordedAt, timeoutSeconds },
    expiresAt: recordedAt + ttlSeconds,
  })
  onStarted?.({ sequence: row.sequence, cwd })
  const captures = { stdout: new Capture(capturedBytes), stderr: new Capture(capturedBytes) }
  const end = await attend(orchestrator, sandbox, live, row, async (sink) => {
    const options: ExecOptions & { execId: string } = {
      execId,
      argv: shellCommand(command),
      cwd,
      env: { ...live.variables, ...env },
      timeoutMs: timeoutSeconds * 1000,
      stdin,
      keepBackground: true,
      signal: stay.signal,
      onOutput: async (stream, data) => {
        captures[stream].add(data)
        await sink(stream, data)
        await onOutput?.(stream, data)
      },
    }
    const ended = await execOver(live.link, options)
    if (ended.timedOut) await options.onOutput('stderr', Buffer.from(`command timed out after ${timeoutSeconds}s\n`))
    return ended
  })
  return { row, end, ...captures }
}

/** Sees a command to its end, keeps what it writes and puts its end on record, whatever that is. */
export async function attend({ store, paths }: Orchestrator, sandbox: Sandbox, live: Live, row: CommandRow, work: (sink: OutputSink, kept: Record<StreamName, number>) => Promise<ExecEnd>): Promise<ExecEnd> {
  using files = new OutputFiles(sandboxFiles(paths, sandbox.id).commands, row.sequence)
  const running = new RunningCommand()
  for (const stream of ['stdout', 'stderr'] as const) running.bytes[stream] = files.kept(stream)
  sandbox.commands.set(row.sequence, running)
  const startedAt = performance.now()
  const record = (end: Pick<CommandEnd, 'state' | 'exitCode' | 'timedOut'>, durationMs: number) =>
    evenWhenFull(store, () => store.endCommand(row, { ...end, durationMs: Math.round(durationMs), stdoutBytes: running.bytes.stdout, stderrBytes: running.bytes.stderr }))
  try {
    const end = await whileAlive(
      live.machine,
      work((stream, data) => {
        files.append(stream, data)
        running.grew(stream, data.length)
      }, running.bytes),
    )
    await record({ state: 'ended', exitCode: end.exitCode, timedOut: end.timedOut }, end.durationUs / 1000)
    return end
  } catch (error) {
    // Whoever takes over from us goes on with it.
    if (live.released) throw error
    const killed = !machineFailures.has(PyroError.from(error).code)
    await record(killed ? { state: 'ended', exitCode: killedExitCode, timedOut: false } : { state: 'lost', exitCode: null, timedOut: false }, performance.now() - startedAt)
    throw error
  } finally {
    sandbox.commands.delete(row.sequence)
    running.end()
  }
}

/** How it shows that nobody knows how a command ended. */
const machineFailures: ReadonlySet<string> = new Set(['vmm_exited', 'guest_unresponsive', 'guest_failed', 'internal'])
