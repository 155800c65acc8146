import { PyroError } from '../contract/errors.ts'
import { type Connection, isUnknownName } from './connection.ts'
import { columnOf, names } from './fields.ts'
import { commandFields, eventFields, intentFields, machineFields, type Migration, sandboxFields } from './layout.ts'

/** "pyro", in the header's field for what a database belongs to. */
export const applicationId = 0x7079726f

/** Brings the database to the newest layout, wholly or not at all. Throws `state_newer` for one that is beyond it. */
export function upgrade(connection: Connection, migrations: readonly Migration[]): void {
  const layout = Number(connection.get('PRAGMA user_version')?.['user_version'])
  if (layout > migrations.length) throw newer(connection.path, layout, migrations.length)
  if (layout === migrations.length) return
  connection.transaction(() => {
    for (const migration of migrations.slice(layout)) migration(connection)
    connection.exec(`PRAGMA user_version = ${migrations.length}; PRAGMA application_id = ${applicationId}`)
  })
}

/** The layout is kept in the header, so that a database of a newer pyro is refused without being opened. */
export function newer(path: string, layout: number, known: number): PyroError {
  return new PyroError('state_newer', `${path} was written by a newer pyro (layout ${layout}; this one knows up to ${known})`, { details: { layout, known } })
}

const tables: Record<string, string[]> = {
  sandboxes: names(sandboxFields),
  machines: names(machineFields),
  commands: names(commandFields),
  events: names(eventFields),
  intents: names(intentFields),
  meta: ['key', 'value'],
}

/** What the database lacks of its layout. */
export function lacking(connection: Connection): string | undefined {
  try {
    for (const [table, fields] of Object.entries(tables)) connection.get(`SELECT ${fields.map(columnOf).join(', ')} FROM ${table} LIMIT 0`)
    return undefined
  } catch (error) {
    if (isUnknownName(error)) return (error as Error).message
    throw error
  }
}
