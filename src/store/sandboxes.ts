import { PyroError } from '../contract/errors.ts'
import type { Columns, Connection } from './connection.ts'
import { fromColumns, toColumns } from './fields.ts'
import { sandboxFields } from './layout.ts'
import type { SandboxRow } from './rows.ts'
import { insertion, update } from './statements.ts'
import type { Store } from './store.ts'

type SandboxRecords = Pick<Store, 'insertSandbox' | 'updateSandbox' | 'sandbox' | 'sandboxes' | 'damagedSandboxes' | 'deleteSandbox'>

export function sandboxRecords(connection: Connection): SandboxRecords {
  const insert = insertion('sandboxes', sandboxFields)
  const order = 'ORDER BY last_activity_at DESC, created_at DESC, id'

  function load(columns: Columns): SandboxRow {
    try {
      return fromColumns(sandboxFields, columns)
    } catch (error) {
      throw invalid(String(columns['id']), (error as Error).message, error)
    }
  }

  function loadable(columns: Columns): boolean {
    try {
      load(columns)
      return true
    } catch {
      return false
    }
  }

  return {
    insertSandbox: (row) => void connection.run(insert, toColumns(sandboxFields, row)),
    updateSandbox(id, changes) {
      const columns = toColumns(sandboxFields, changes)
      const sql = Object.keys(columns).length === 0 ? 'SELECT * FROM sandboxes WHERE id = :id' : update('sandboxes', columns)
      const row = connection.get(sql, { ...columns, id })
      if (!row) throw new PyroError('not_found', `there is no workspace or VM ${id}`)
      return load(row)
    },
    sandbox(id) {
      const columns = connection.get('SELECT * FROM sandboxes WHERE id = :id', { id })
      return columns && load(columns)
    },
    sandboxes(kind) {
      const rows = kind ? connection.all(`SELECT * FROM sandboxes WHERE kind = :kind ${order}`, { kind }) : connection.all(`SELECT * FROM sandboxes ${order}`)
      return rows.filter(loadable).map(load)
    },
    damagedSandboxes: () =>
      connection
        .all(`SELECT * FROM sandboxes ${order}`)
        .filter((columns) => !loadable(columns))
        .map((columns) => String(columns['id'])),
    deleteSandbox(id) {
      shorten(connection, id)
      return connection.transaction(() => {
        connection.run('DELETE FROM machines WHERE sandbox_id = :id', { id })
        connection.run('DELETE FROM intents WHERE sandbox_id = :id', { id })
        return connection.run('DELETE FROM sandboxes WHERE id = :id', { id }) > 0
      })
    },
  }
}

/** Takes all but a few rows from a sandbox's log, piece by piece: at once they would need their own size again on the disk. */
function shorten(connection: Connection, id: string): void {
  const piece = 100
  for (const [table, key] of [['commands', 'epoch, sequence'], ['events', 'id']]) {
    const sql = `DELETE FROM ${table} WHERE sandbox_id = :id AND (${key}) IN (SELECT ${key} FROM ${table} WHERE sandbox_id = :id ORDER BY ${key} LIMIT ${piece} OFFSET ${piece})`
    while (connection.run(sql, { id }) === piece) {
      // Until what is left fits one transaction.
    }
  }
}

function invalid(id: string, reason: string, cause: unknown): PyroError {
  return new PyroError('wrong_state', `workspace record ${id} is invalid: ${reason}`, { hint: `\`pyro workspace delete ${id}\` removes it`, cause })
}
