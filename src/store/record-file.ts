import { closeSync, constants, type Dirent, fstatSync, fsyncSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkRow, object } from './fields.ts'
import { migrations, sandboxFields } from './layout.ts'
import type { SandboxRow } from './rows.ts'
import type { Recovered } from './store.ts'

const fileName = 'record.json'
const largestBytes = 1024 * 1024

/**
 * Notes a sandbox's row in its directory, by which it is found again should the database be lost. The file is the old one or the
 * new one at any moment. Throws the errors of the file system; the directory must be there.
 */
export function writeRecordFile(paths: { workspaces: string }, row: SandboxRow): void {
  const directory = join(paths.workspaces, row.id)
  const partial = join(directory, `.${fileName}.partial`)
  try {
    rmSync(partial, { force: true })
    writeFileSync(partial, `${JSON.stringify({ layout: migrations.length, ...row }, null, 2)}\n`, { mode: 0o600, flag: 'wx', flush: true })
    renameSync(partial, join(directory, fileName))
  } catch (error) {
    rmSync(partial, { force: true })
    throw error
  }
  const held = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(held)
  } finally {
    closeSync(held)
  }
}

/** The sandboxes that directories tell of, as they are once their machines are lost: stopped. Nothing is changed. */
export function findRecords(paths: { workspaces: string }): { found: SandboxRow[]; ignored: Recovered['ignored'] } {
  const found: SandboxRow[] = []
  const ignored: Recovered['ignored'] = []
  for (const entry of entriesOf(paths.workspaces)) {
    const path = join(paths.workspaces, entry.name)
    try {
      found.push(readRecord(path, entry))
    } catch (error) {
      ignored.push({ path, reason: reasonOf(error) })
    }
  }
  return { found, ignored }
}

function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function readRecord(directory: string, entry: Dirent): SandboxRow {
  if (!entry.isDirectory()) throw new Error('it is not a directory')
  const row = checkRow(sandboxFields, object(JSON.parse(readOwn(join(directory, fileName)))))
  if (row.id !== entry.name) throw new Error(`its record is that of ${JSON.stringify(row.id)}`)
  const values = [row.id, row.name, row.environment, row.environmentVersion, row.environmentDigest, row.seedDigest, ...Object.entries(row.labels).flat()]
  if (values.some((value) => value !== null && /\p{Cc}/u.test(value))) throw new Error('its record holds control characters')
  // Digests name files.
  if ([row.environmentDigest, row.seedDigest].some((digest) => digest !== null && !/^[\w:-]+$/.test(digest))) throw new Error('its record holds an invalid digest')
  return {
    ...row,
    state: 'stopped',
    paused: false,
    stoppedBy: 'host',
    error: 'its record was lost and found again by its directory',
    machineId: null,
    cleanStop: false,
    // Commands that came after the file was written left their output.
    sequence: Math.max(row.sequence, lastOutput(join(directory, 'commands'))),
    // Checkpoints that came after it are on the disk, by numbers that must not come again.
    checkpoint: row.checkpoint + numbersLeftOut,
  }
}

/** More than a workspace has commands. */
const numbersLeftOut = 1_000_000_000

/** A file that we wrote ourselves: a plain one of ours, of a sane size. */
function readOwn(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stat = fstatSync(file)
    if (!stat.isFile()) throw new Error('its record is not a file')
    if (stat.uid !== process.geteuid?.()) throw new Error('its record belongs to another user')
    if (stat.size > largestBytes) throw new Error('its record is too large')
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}

function lastOutput(directory: string): number {
  try {
    return Math.max(0, ...readdirSync(directory).map((name) => Number(/^(\d{1,15})\.std(?:out|err)$/.exec(name)?.[1] ?? 0)))
  } catch {
    return 0
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'it has no record'
  if (code === 'ELOOP') return 'its record is a symbolic link'
  if (error instanceof SyntaxError) return 'its record is not JSON'
  return code ? message : message.startsWith('it') ? message : `its record is invalid: ${message}`
}
