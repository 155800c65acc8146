import type { Connection } from './connection.ts'
import { fromColumns, toColumns } from './fields.ts'
import { eventFields } from './layout.ts'
import { page, readable } from './statements.ts'
import type { Store } from './store.ts'

export function eventRecords(connection: Connection): Pick<Store, 'appendEvent' | 'events'> {
  const epoch = 'coalesce((SELECT epoch FROM sandboxes WHERE id = :sandbox_id), 0)'
  return {
    appendEvent(sandboxId, event) {
      const { kind, recordedAt, payload } = event
      const values = toColumns(eventFields, { sandboxId, kind, recordedAt, payload })
      const row = connection.get(`INSERT INTO events (sandbox_id, epoch, kind, recorded_at, payload) VALUES (:sandbox_id, ${epoch}, :kind, :recorded_at, :payload) RETURNING *`, values)
      return fromColumns(eventFields, row ?? {})
    },
    events(sandboxId, { kinds, after = 0, ...rest } = {}) {
      const conditions = ['sandbox_id IS :sandbox_id', `epoch = ${epoch}`, 'id > :after']
      if (kinds) conditions.push('kind IN (SELECT value FROM json_each(:kinds))')
      const values = { sandbox_id: sandboxId, after, ...(kinds && { kinds: JSON.stringify(kinds) }) }
      return readable(eventFields, page(connection, 'events', conditions, 'id', values, rest))
    },
  }
}
