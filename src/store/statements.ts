import type { Columns, Connection } from './connection.ts'
import { columnOf, type Fields, fromColumns, names } from './fields.ts'
import type { Page } from './store.ts'

export function insertion<Row>(table: string, fields: Fields<Row>): string {
  const columns = names(fields).map(columnOf)
  return `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map((column) => `:${column}`).join(', ')})`
}

/** Sets columns by the row's id; gives the whole row as it is then. */
export function update(table: string, columns: Record<string, unknown>): string {
  const settings = Object.keys(columns).map((column) => `${column} = :${column}`)
  return `UPDATE ${table} SET ${settings.join(', ')} WHERE id = :id RETURNING *`
}

/** Rows that can be read; a damaged one of a list is left out rather than taking the others with it. */
export function readable<Row>(fields: Fields<Row>, rows: Columns[]): Row[] {
  return rows.flatMap((columns) => {
    try {
      return [fromColumns(fields, columns)]
    } catch {
      return []
    }
  })
}

/** Rows of a log, in its order or the newest first. */
export function page(connection: Connection, table: string, conditions: string[], order: string, values: Record<string, string | number | null>, { limit = -1, newest = false }: Page): Columns[] {
  return connection.all(`SELECT * FROM ${table} WHERE ${conditions.join(' AND ')} ORDER BY ${order} ${newest ? 'DESC' : 'ASC'} LIMIT :limit`, { ...values, limit })
}
