import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { notWritable, PyroError } from '../contract/errors.ts'
import type { Connection } from './connection.ts'
import { applicationId } from './upgrade.ts'

/** The fixed places of https://www.sqlite.org/fileformat2.html#the_database_header. */
const header = { bytes: 100, magic: 'SQLite format 3\0', userVersion: 60, applicationId: 68 }
/** No number that we shall ever give. */
const absurdLayout = 10_000

/** What a database file says of itself. It is not open in this process: closing it would free SQLite's locks. */
export function readHeader(path: string): { layout: number } | { damage: string } {
  const bytes = Buffer.alloc(header.bytes)
  let length: number
  try {
    // SQLite opens what cannot be written, and fails later.
    const file = openSync(path, 'r+')
    try {
      length = readSync(file, bytes)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return { damage: 'it is missing' }
    if (code === 'EISDIR') throw new PyroError('not_writable', `cannot write: ${path} is a directory`, { hint: `move it away: mv '${path}' '${path}.old'`, cause: error })
    throw notWritable(path, error)
  }
  if (length === 0) return { damage: 'it is empty' }
  if (length < header.bytes || bytes.toString('latin1', 0, header.magic.length) !== header.magic) return { damage: 'it is not a database' }
  if (bytes.readUInt32BE(header.applicationId) !== applicationId) return { damage: 'it is not a database of pyro' }
  const layout = bytes.readUInt32BE(header.userVersion)
  return layout === 0 || layout > absurdLayout ? { damage: `it has layout ${layout}` } : { layout }
}

/** A check takes about 1 ms for each MiB. */
const alwaysCheckedBytes = 16 * 1024 * 1024

/** What is structurally wrong with a database. A large one whose owner closed it is looked at only where a fault would keep us from working. */
export function structuralDamage(connection: Connection, closed: boolean): string | undefined {
  const whole = !closed || (statSync(connection.path, { throwIfNoEntry: false })?.size ?? 0) <= alwaysCheckedBytes
  const checks = whole ? ['PRAGMA quick_check(1)'] : ['meta', 'sandboxes', 'machines', 'intents'].map((table) => `PRAGMA quick_check('${table}')`)
  return checks.map((check) => String(connection.get(check)?.['quick_check'])).find((answer) => answer !== 'ok')
}
