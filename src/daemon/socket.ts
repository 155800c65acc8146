import { lstatSync, mkdirSync, type Stats } from 'node:fs'
import { dirname, join } from 'node:path'
import { notWritable, PyroError } from '../contract/errors.ts'
import type { Paths } from '../host/paths.ts'

/** What the kernel allows for the path of a Unix socket. */
const longestPath = 107

/** The title of the daemon's process. */
export const daemonTitle = 'pyro daemon'

/** Held by the daemon for its life: whoever holds it may put its socket in place. */
export function daemonLock({ daemonSocket }: Paths): string {
  return join(dirname(daemonSocket), 'lock')
}

/** Makes the directory of the daemon's socket, for us alone. Refuses one that others could get into. */
export function prepareSocketDirectory(paths: Paths): void {
  const { daemonSocket } = paths
  if (Buffer.byteLength(daemonSocket) > longestPath) {
    throw new PyroError('path_too_long', `the path of the daemon's socket, ${daemonSocket}, has ${Buffer.byteLength(daemonSocket)} bytes; ${longestPath} are the limit`)
  }
  const own = dirname(daemonSocket)
  try {
    mkdirSync(own, { recursive: true, mode: 0o700 })
  } catch (error) {
    const { code, path = own } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' || code === 'ENOTDIR') throw notADirectory(path, error)
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') throw notWritable(path, error)
    throw error
  }
  // `pyro-mcp` and `d` above it: who may write there can put another directory in the place of ours.
  for (const directory of [dirname(dirname(own)), dirname(own)]) refuseForeign(directory, lstatSync(directory), 0o022)
  checkSocketDirectory(paths)
}

/** Refuses a directory of the daemon's socket that others could get into. False when there is none. */
export function checkSocketDirectory({ daemonSocket }: Paths): boolean {
  const directory = dirname(daemonSocket)
  const stats = lstatSync(directory, { throwIfNoEntry: false })
  if (!stats) return false
  refuseForeign(directory, stats, 0o077)
  return true
}

function refuseForeign(directory: string, stats: Stats, forbidden: number): void {
  if (!stats.isDirectory()) throw notADirectory(directory)
  const uid = process.getuid?.() ?? stats.uid
  if (stats.uid !== uid) {
    throw new PyroError('daemon_unreachable', `the directory of the daemon's socket, ${directory}, belongs to user ${stats.uid}, and you are user ${uid}`, {
      hint: 'choose a place of your own with XDG_RUNTIME_DIR',
    })
  }
  if ((stats.mode & forbidden) !== 0) {
    const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0')
    throw new PyroError('daemon_unreachable', `others can get into the directory of the daemon's socket: ${directory} has mode ${mode}`, { hint: `close it to them: chmod 700 '${directory}'` })
  }
}

function notADirectory(path: string, cause?: unknown): PyroError {
  return new PyroError('daemon_unreachable', `${path}, where the daemon's socket belongs, is not a directory`, { cause })
}
