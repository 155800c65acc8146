import { closeSync, existsSync, openSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { noSpace, notWritable } from '../contract/errors.ts'
import { commandRecords } from './commands.ts'
import { type Connection, connect, isDamage } from './connection.ts'
import { eventRecords } from './events.ts'
import { readHeader, structuralDamage } from './inspect.ts'
import { type Migration, migrations as known } from './layout.ts'
import { intentRecords, machineRecords } from './machines.ts'
import { metaRecords } from './meta.ts'
import { findRecords } from './record-file.ts'
import { type Reserve, reserveOf } from './reserve.ts'
import { sandboxRecords } from './sandboxes.ts'
import type { OpenedStore, Recovered, Store } from './store.ts'
import { lacking, newer, upgrade } from './upgrade.ts'

interface StorePaths {
  state: string
  store: string
  workspaces: string
}

/**
 * Opens the records of a state directory, which the caller owns (`ownState`) and which is there. They are made when missing, brought to
 * the newest layout when older, and made anew from the sandboxes' own directories when damaged; the damaged file is kept.
 * Throws `state_newer`, `not_writable`, `no_space`.
 */
export async function openStore(paths: StorePaths, migrations: readonly Migration[] = known): Promise<OpenedStore> {
  const reserve = reserveOf(join(paths.state, 'reserve'))
  const opened = openExisting(paths.store, migrations)
  if (!('damage' in opened)) return { store: storeOn(opened, reserve) }
  const { connection, recovered } = makeAnew(paths, opened.damage, migrations)
  return { store: storeOn(connection, reserve), ...(recovered && { recovered }) }
}

function openExisting(path: string, migrations: readonly Migration[]): Connection | { damage: string } {
  const header = readHeader(path)
  if ('damage' in header) return header
  if (header.layout > migrations.length) throw newer(path, header.layout, migrations.length)
  const closed = !existsSync(`${path}-wal`)
  let connection: Connection | undefined
  try {
    connection = connect(path)
    const damage = structuralDamage(connection, closed)
    if (damage === undefined) upgrade(connection, migrations)
    const missing = damage ?? lacking(connection)
    if (missing === undefined) return logged(connection)
    connection.close()
    return { damage: missing }
  } catch (error) {
    connection?.close()
    if (isDamage(error)) return { damage: ((error as Error).cause as Error).message }
    throw error
  }
}

function makeAnew(paths: StorePaths, reason: string, migrations: readonly Migration[]): { connection: Connection; recovered?: Recovered } {
  const { found, ignored, backup } = plainly(paths.store, () => ({ ...findRecords(paths), backup: moveAside(paths.store) }))
  plainly(paths.store, () => makePrivate(paths.store))
  const connection = connect(paths.store)
  try {
    connection.transaction(() => {
      upgrade(connection, migrations)
      for (const row of found) sandboxRecords(connection).insertSandbox(row)
    })
    logged(connection)
  } catch (error) {
    connection.close()
    throw error
  }
  if (backup === null && found.length === 0 && ignored.length === 0) return { connection }
  return { connection, recovered: { backup, reason, found: found.map(({ id }) => id), ignored } }
}

/** A new database gets its log only once it has its tables: whatever cuts its making leaves an empty file or a whole one. */
function logged(connection: Connection): Connection {
  connection.exec('PRAGMA journal_mode = WAL')
  return connection
}

/** Keeps a database with what belongs to it, so that SQLite's tools find it all. Null when there is nothing to keep. */
function moveAside(path: string): string | null {
  const time = new Date().toISOString().replace(/[:.]/g, '-')
  const backup = `${path}.damaged-${time}`
  const parts = ['', '-wal', '-shm', '-journal'].filter((part) => (statSync(path + part, { throwIfNoEntry: false })?.size ?? 0) > 0)
  for (const part of parts) renameSync(path + part, backup + part)
  return parts.length > 0 ? backup : null
}

function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** Gives what the file system refuses the form of our errors. */
function plainly<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw code === 'ENOSPC' || code === 'EDQUOT' ? noSpace(path, error) : notWritable(path, error)
  }
}

/** Gives the log's own space back, where there is room for what it holds. */
function emptyLog(connection: Connection): void {
  try {
    connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  } catch {
    // What is to be written may still fit into the reserve.
  }
}

function storeOn(connection: Connection, reserve: Reserve): Store {
  reserve.take()
  return {
    ...sandboxRecords(connection),
    ...machineRecords(connection),
    ...commandRecords(connection),
    ...eventRecords(connection),
    ...intentRecords(connection),
    ...metaRecords(connection),
    transaction: (write) => connection.transaction(write),
    withReserve: (work) =>
      reserve.without(() => {
        emptyLog(connection)
        return work()
      }),
    close: connection.close,
    [Symbol.dispose]: connection.close,
  }
}
