import { closeSync, lstatSync, mkdirSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { noSpace, notWritable, PyroError } from '../contract/errors.ts'

/**
 * Locks that end with their holder, however it ends: an exclusive SQLite transaction on a file of its own, since Node has no flock.
 * SQLite holds them by POSIX locks, which a process loses as soon as it closes any descriptor of the file: nothing else may open it.
 */

const busy = 5
const notADatabase = 26
/** Where SQLite puts its locks in a file: PENDING_BYTE and what follows. */
const lockedBytes = { first: 0x40000000, last: 0x400001ff }

/** Takes the state directory over until disposed of. Throws `state_in_use` while another does. */
export function ownState(paths: { state: string; owner: string }): Disposable {
  const lock = hold(paths.owner, paths.state, 0)
  if (lock) return lock
  const pid = holderOf(paths.owner)
  throw new PyroError('state_in_use', `${pid === undefined ? 'another process' : `process ${pid}`} owns the state directory ${paths.state}`, { details: pid === undefined ? {} : { pid } })
}

/** The process that owns the state directory; undefined when there is none or the kernel does not tell. */
export function ownerOf(paths: { owner: string }): number | undefined {
  return holderOf(paths.owner)
}

/** The right to start the daemon. Waits so long for another that has it, blocking the thread; undefined when it still has it then. */
export function tryStartLock(paths: { state: string; start: string }, waitMs = 0): Disposable | undefined {
  return hold(paths.start, paths.state, waitMs)
}

function hold(path: string, state: string, waitMs: number): Disposable | undefined {
  prepare(path, state)
  let database = begin(path, waitMs)
  if (database === 'damaged') {
    // Nobody holds it, or we would have waited; it has no content to lose. Replacing it instead could free another's lock.
    truncateSync(path)
    database = begin(path, waitMs)
  }
  if (database === 'damaged') throw cannotUse(path)
  if (database === 'busy') return undefined
  const held = database
  return {
    [Symbol.dispose]() {
      if (held.isOpen) held.close()
    },
  }
}

/** Makes the file for us alone. An existing one is not opened. */
function prepare(path: string, state: string): void {
  try {
    mkdirSync(state, { recursive: true, mode: 0o700 })
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    const { code, path: where = path } = error as NodeJS.ErrnoException
    if (code === 'ENOSPC' || code === 'EDQUOT') throw noSpace(where, error)
    if (code === 'ENOTDIR' || (code === 'EEXIST' && where !== path)) throw notADirectory(state, error)
    if (code !== 'EEXIST') throw notWritable(where, error)
    if (lstatSync(path, { throwIfNoEntry: false })?.isFile() === false) throw cannotUse(path, error)
  }
}

function begin(path: string, waitMs: number): DatabaseSync | 'busy' | 'damaged' {
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(path, { timeout: waitMs })
    // SQLite prepares to write an empty file: a journal on the disk could fail for want of space.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    return database
  } catch (error) {
    database?.close()
    const { errcode = 0 } = error as { errcode?: number }
    if ((errcode & 0xff) === busy) return 'busy'
    if (errcode === notADatabase) return 'damaged'
    throw notWritable(path, error)
  }
}

function cannotUse(path: string, cause?: unknown): PyroError {
  return new PyroError('not_writable', `cannot write: ${path} is not a file of pyro's`, { hint: `move it away: mv '${path}' '${path}.old'`, cause })
}

function notADirectory(state: string, cause: unknown): PyroError {
  return new PyroError('not_writable', `cannot write: ${state} is not a directory`, { hint: 'move it away, or choose another place with XDG_STATE_HOME', cause })
}

/** By the kernel's list of locks, so without opening the file. */
function holderOf(path: string): number | undefined {
  try {
    const { ino } = statSync(path)
    for (const line of readFileSync('/proc/locks', 'utf8').split('\n')) {
      const [, , , kind, pid, place, first] = line.split(/\s+/)
      const isLock = Number(first) >= lockedBytes.first && Number(first) <= lockedBytes.last
      if (kind === 'WRITE' && isLock && place?.split(':')[2] === String(ino) && Number(pid) > 0) return Number(pid)
    }
  } catch {
    // Not told here.
  }
  return undefined
}
