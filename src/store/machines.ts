import { PyroError } from '../contract/errors.ts'
import type { Connection } from './connection.ts'
import { toColumns } from './fields.ts'
import { intentFields, machineFields } from './layout.ts'
import { insertion, readable, update } from './statements.ts'
import type { Store } from './store.ts'

export function machineRecords(connection: Connection): Pick<Store, 'insertMachine' | 'updateMachine' | 'deleteMachine' | 'machines'> {
  const insert = insertion('machines', machineFields)
  return {
    insertMachine: (row) => void connection.run(insert, toColumns(machineFields, row)),
    updateMachine(id, changes) {
      const columns = toColumns(machineFields, changes)
      if (Object.keys(columns).length > 0 && !connection.get(update('machines', columns), { ...columns, id })) throw new PyroError('not_found', `there is no machine ${id}`)
    },
    deleteMachine: (id) => void connection.run('DELETE FROM machines WHERE id = :id', { id }),
    machines: () => readable(machineFields, connection.all('SELECT * FROM machines ORDER BY created_at, rowid')),
  }
}

export function intentRecords(connection: Connection): Pick<Store, 'insertIntent' | 'closeIntent' | 'intents'> {
  const insert = insertion('intents', intentFields)
  const order = 'ORDER BY created_at, rowid'
  return {
    insertIntent: (row) => void connection.run(insert, toColumns(intentFields, row)),
    closeIntent: (id) => void connection.run('DELETE FROM intents WHERE id = :id', { id }),
    intents: (sandboxId) =>
      readable(intentFields, sandboxId === undefined ? connection.all(`SELECT * FROM intents ${order}`) : connection.all(`SELECT * FROM intents WHERE sandbox_id = :sandboxId ${order}`, { sandboxId })),
  }
}
