import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from 'node:sqlite'
import { noSpace, notWritable, PyroError } from '../contract/errors.ts'

export type Columns = Record<string, SQLOutputValue>
type Values = Record<string, SQLInputValue>

/** A database whose statements are prepared once and whose failures are `PyroError`s. Whole numbers are read as bigint. */
export interface Connection extends Disposable {
  readonly path: string
  /** Several statements, whose results are not wanted. */
  exec(sql: string): void
  /** The number of rows that changed. */
  run(sql: string, values?: Values): number
  get(sql: string, values?: Values): Columns | undefined
  all(sql: string, values?: Values): Columns[]
  /** Joins the transaction that it is called in; what it wrote itself is taken back when it throws. */
  transaction<T>(write: () => T): T
  close(): void
}

/** Another process that has the file open can be somebody who looks at it by hand. */
const patienceMs = 2000

const settings = [
  'locking_mode = EXCLUSIVE',
  'synchronous = FULL',
  'temp_store = MEMORY',
  'foreign_keys = ON',
  // In pages of 4 KiB. What is in the log only needs as much room again in the database. On a disk that fills up that is
  // twice this at most: less than the reserve.
  'wal_autocheckpoint = 100',
  'journal_size_limit = 1048576',
]

/**
 * Opens or makes a database. It is locked for as long as it is open: the owner of the state directory is alone with it, and without
 * a shared-memory index, which the exclusive mode does without, it can be opened on a full disk.
 */
export function connect(path: string): Connection {
  return translated(path, () => {
    const database = new DatabaseSync(path, { timeout: patienceMs })
    try {
      for (const setting of settings) database.exec(`PRAGMA ${setting}`)
      return open(database, path)
    } catch (error) {
      database.close()
      throw error
    }
  })
}

function open(database: DatabaseSync, path: string): Connection {
  const statements = new Map<string, StatementSync>()
  let depth = 0

  function prepared(sql: string): StatementSync {
    // A full disk can end a transaction by itself: what its author still writes would stand alone.
    if (depth > 0 && !database.isTransaction) throw noSpace(path)
    let statement = statements.get(sql)
    if (!statement) {
      statement = database.prepare(sql)
      statement.setReadBigInts(true)
      statements.set(sql, statement)
    }
    return statement
  }

  const run = (sql: string, values: Values = {}) => translated(path, () => Number(prepared(sql).run(values).changes))
  // Also for a single row: StatementSync.get() leaves a statement before its end, and SQLite empties the log only behind one
  // that came to it.
  const all = (sql: string, values: Values = {}) => translated(path, () => prepared(sql).all(values))
  const close = () => {
    if (database.isOpen) database.close()
  }

  return {
    path,
    exec: (sql) => translated(path, () => database.exec(sql)),
    run,
    get: (sql, values = {}) => all(sql, values)[0],
    all,
    transaction(write) {
      const [begin, commit, undo] =
        depth === 0 ? ['BEGIN IMMEDIATE', 'COMMIT', ['ROLLBACK']] : [`SAVEPOINT s${depth}`, `RELEASE s${depth}`, [`ROLLBACK TO s${depth}`, `RELEASE s${depth}`]]
      run(begin)
      depth += 1
      try {
        const result = write()
        if (typeof (result as PromiseLike<unknown> | undefined)?.then === 'function') throw new TypeError('a transaction cannot be async')
        run(commit)
        return result
      } catch (error) {
        if (database.isTransaction) undo.forEach((sql) => run(sql))
        throw error
      } finally {
        depth -= 1
      }
    },
    close,
    [Symbol.dispose]: close,
  }
}

/** SQLite's primary result codes, https://www.sqlite.org/rescode.html. */
const codes = { error: 1, perm: 3, busy: 5, locked: 6, readonly: 8, ioerr: 10, corrupt: 11, full: 13, cantopen: 14, constraint: 19, auth: 23, notadb: 26 }
const ioErrorWrite = 778
const constraintForeignKey = 787

function resultCode(error: unknown): number {
  const { errcode } = error as { errcode?: unknown }
  return typeof errcode === 'number' ? errcode : 0
}

/** The file, or what it holds, is not what pyro wrote. */
export function isDamage(error: unknown): boolean {
  const { cause = error } = error as { cause?: unknown }
  return [codes.corrupt, codes.notadb].includes(resultCode(cause) & 0xff)
}

/** A statement names a table or a column that is not there. */
export function isUnknownName(error: unknown): boolean {
  return resultCode(error) === codes.error
}

function translated<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw translate(path, error)
  }
}

function translate(path: string, error: unknown): unknown {
  const code = resultCode(error)
  switch (code & 0xff) {
    case codes.full:
      return noSpace(path, error)
    case codes.perm:
    case codes.readonly:
    case codes.cantopen:
    case codes.auth:
      return notWritable(path, error)
    case codes.ioerr:
      // SQLite does not tell a used-up quota from a failing disk.
      return notWritable(`${path} (${code === ioErrorWrite ? 'a disk error, or a quota is used up' : 'disk error'})`, error)
    case codes.busy:
    case codes.locked:
      return new PyroError('state_in_use', `another process uses ${path}`, { cause: error })
    case codes.corrupt:
    case codes.notadb:
      return damaged(path, error)
    case codes.constraint:
      return code === constraintForeignKey
        ? new PyroError('not_found', 'there is no sandbox for that record', { cause: error })
        : new PyroError('conflict', `that record is there already: ${(error as Error).message}`, { cause: error })
    default:
      return error
  }
}

function damaged(path: string, cause: unknown): PyroError {
  return new PyroError('wrong_state', `the records in ${path} are damaged`, { hint: '`pyro daemon stop`, then the same command again: workspaces are found again by their directories', cause })
}
