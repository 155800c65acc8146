import { parseInput } from '../../contract/operation.ts'
import { execWorkspace as execOperation, followWorkspace as followOperation } from '../../contract/workspaces.ts'
import type { SandboxRow } from '../../store/rows.ts'
import { type Capture, capturedFields } from '../machine/capture.ts'
import type { Handler } from '../handler.ts'
import { killedExitCode, runCommand } from '../sandbox/command.ts'
import { enter } from '../sandbox/enter.ts'
import { followCommand } from '../sandbox/follow.ts'

export const execWorkspace: Handler<'workspace_exec'> = async (orchestrator, input, { signal, progress, ...streams }) => {
  const options = parseInput(execOperation, input)
  using stay = await enter(orchestrator, 'workspace', options.workspace_id, 'workspace_exec', { signal, progress })
  const { row, end, stdout, stderr } = await runCommand(orchestrator, stay, stay.live(), {
    command: options.command,
    cwd: options.cwd,
    env: options.env ?? {},
    timeoutSeconds: options.timeout_seconds,
    onOutput: streams.onOutput,
    onStarted: streams.onStarted,
    stdin: options.interactive ? streams.stdin : undefined,
  })
  return {
    ...about(stay.row(), stdout, stderr),
    command: row.command,
    exit_code: end.exitCode,
    timed_out: end.timedOut,
    duration_ms: Math.round(end.durationUs / 1000),
    sequence: row.sequence,
    cwd: row.cwd,
  }
}

export const followWorkspace: Handler<'workspace_follow'> = async (orchestrator, input, { signal, progress, onOutput }) => {
  const { workspace_id: id, sequence, stdout_offset, stderr_offset } = parseInput(followOperation, input)
  using stay = await enter(orchestrator, 'workspace', id, 'workspace_follow', { signal, progress })
  const { row, stdout, stderr } = await followCommand(orchestrator, id, sequence, { stdout: stdout_offset, stderr: stderr_offset }, { onOutput, signal: stay.signal })
  return {
    ...about(stay.row(), stdout, stderr),
    command: row.command,
    exit_code: row.exitCode ?? killedExitCode,
    timed_out: row.timedOut,
    duration_ms: row.durationMs,
    sequence,
    cwd: row.cwd,
  }
}

function about({ id, environment, environmentVersion, executionMode }: SandboxRow, stdout: Capture, stderr: Capture) {
  return {
    workspace_id: id,
    environment,
    environment_version: environmentVersion,
    execution_mode: executionMode as 'guest_vsock',
    ...capturedFields({ stdout, stderr }),
  }
}
