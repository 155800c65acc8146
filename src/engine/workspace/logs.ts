import { PyroError } from '../../contract/errors.ts'
import { parseInput } from '../../contract/operation.ts'
import { capturedBytes } from '../../contract/run.ts'
import { logsWorkspace as operation } from '../../contract/workspaces.ts'
import type { Handler } from '../handler.ts'
import { outputFile, readOutput } from '../sandbox/command-files.ts'
import { sandboxFiles } from '../sandbox/directory.ts'
import { findRow } from '../sandbox/enter.ts'
import { commandPayload, type LogEntry } from './payload.ts'

/** What all entries of a list may hold together of their output; the newest have it first. */
const listBytes = 8 * 1024 ** 2

export const logsWorkspace: Handler<'workspace_logs'> = async (orchestrator, input) => {
  const { workspace_id: id, sequence, offset } = parseInput(operation, input)
  findRow(orchestrator, 'workspace', id)
  if (sequence == null && offset > 0) throw new PyroError('invalid_argument', 'offset needs sequence: it counts in the output of one command', { hint: 'give --sequence N as well' })
  const rows = orchestrator.store.commands(id, sequence == null ? { newest: true } : { sequence })
  if (sequence != null && rows.length === 0) {
    throw new PyroError('not_found', `command ${sequence} of workspace '${id}' does not exist`, { hint: `pyro workspace logs ${id} lists its commands` })
  }
  const { commands: directory } = sandboxFiles(orchestrator.paths, id)
  const { commands: running } = orchestrator.sandboxes.get(id) ?? {}
  let room = listBytes
  const entries = rows.map((row): LogEntry => {
    const written = running?.get(row.sequence)?.bytes
    const limit = Math.min(capturedBytes, room)
    const stdout = readOutput(directory, row.sequence, 'stdout', offset, limit)
    const stderr = readOutput(directory, row.sequence, 'stderr', offset, limit)
    room = Math.max(0, room - stdout.length - stderr.length)
    const bytes = { stdout: written?.stdout ?? row.stdoutBytes, stderr: written?.stderr ?? row.stderrBytes }
    return {
      ...commandPayload(row),
      state: row.state,
      timed_out: row.timedOut,
      stdout_file: outputFile(row.sequence, 'stdout'),
      stderr_file: outputFile(row.sequence, 'stderr'),
      recorded_at: row.recordedAt,
      stdout: stdout.toString(),
      stderr: stderr.toString(),
      stdout_bytes: bytes.stdout,
      stderr_bytes: bytes.stderr,
      stdout_truncated: stdout.length < bytes.stdout,
      stderr_truncated: stderr.length < bytes.stderr,
    }
  })
  if (sequence == null) entries.reverse() // oldest first
  return { workspace_id: id, count: entries.length, entries }
}
