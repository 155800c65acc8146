import { PyroError } from '../contract/errors.ts'
import type { Connection } from './connection.ts'
import { toColumns } from './fields.ts'
import { commandFields } from './layout.ts'
import type { CommandRow } from './rows.ts'
import { insertion, page, readable } from './statements.ts'
import type { Store } from './store.ts'

export function commandRecords(connection: Connection): Pick<Store, 'nextCommand' | 'endCommand' | 'commands'> {
  const insert = insertion('commands', commandFields)
  return {
    nextCommand: (sandboxId, { expiresAt, ...command }) =>
      connection.transaction(() => {
        const place = connection.get(
          `UPDATE sandboxes SET sequence = sequence + 1, last_activity_at = :at, retention_due_at = NULL, expires_at = coalesce(:expiresAt, expires_at)
            WHERE id = :sandboxId RETURNING epoch, sequence`,
          { sandboxId, at: command.recordedAt, expiresAt: expiresAt ?? null },
        )
        if (!place) throw new PyroError('not_found', `there is no workspace or VM ${sandboxId}`)
        const row: CommandRow = {
          sandboxId,
          epoch: Number(place['epoch']),
          sequence: Number(place['sequence']),
          ...command,
          state: 'running',
          exitCode: null,
          timedOut: false,
          durationMs: 0,
          stdoutBytes: 0,
          stderrBytes: 0,
        }
        connection.run(insert, toColumns(commandFields, row))
        return row
      }),
    endCommand({ sandboxId, epoch, sequence }, end) {
      const { state, exitCode, timedOut, durationMs, stdoutBytes, stderrBytes } = end
      const values = toColumns(commandFields, { sandboxId, epoch, sequence, state, exitCode, timedOut, durationMs, stdoutBytes, stderrBytes })
      const changed = connection.run(
        `UPDATE commands SET state = :state, exit_code = :exit_code, timed_out = :timed_out, duration_ms = :duration_ms, stdout_bytes = :stdout_bytes, stderr_bytes = :stderr_bytes
          WHERE sandbox_id = :sandbox_id AND epoch = :epoch AND sequence = :sequence AND state = 'running'`,
        values,
      )
      return changed > 0
    },
    commands(sandboxId, { sequence, state, ...rest } = {}) {
      const conditions = ['sandbox_id = :sandboxId', 'epoch = (SELECT epoch FROM sandboxes WHERE id = :sandboxId)']
      if (sequence !== undefined) conditions.push('sequence = :sequence')
      if (state !== undefined) conditions.push('state = :state')
      const values = { sandboxId, ...(sequence !== undefined && { sequence }), ...(state !== undefined && { state }) }
      return readable(commandFields, page(connection, 'commands', conditions, 'sequence', values, rest))
    },
  }
}
