import type { Server } from 'node:http'
import { lstatSync, renameSync, rmSync, watch } from 'node:fs'
import { connect } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { PyroError } from '../../contract/errors.ts'
import type { Paths } from '../../host/paths.ts'
import { ownerOf, tryStartLock } from '../../store/lock.ts'
import { daemonLock, prepareSocketDirectory } from '../socket.ts'

/** How long a daemon before us may take to leave. */
const leaveMs = 45_000
const lookMs = 10
/** Connections that wait to be taken; the kernel's own limit is 4096. */
const backlog = 4096

export interface Held extends Disposable {
  /** Calls back once the socket is not in its place any more. */
  onLost(lost: () => void): void
  /** Whether it is still in its place. */
  isThere(): boolean
}

/**
 * Listens at the daemon's socket. The lock beside it is held for our life, so that nobody else puts a socket there; one that
 * a daemon left behind is replaced.
 */
export async function listen(server: Server, paths: Paths): Promise<Held> {
  const { daemonSocket } = paths
  prepareSocketDirectory(paths)
  const lock = await takeLock(paths)
  const directory = dirname(daemonSocket)
  // Under another name first: what libuv unlinks when it closes the socket is then never another's.
  const aside = join(directory, `.${process.pid.toString(36)}`)
  rmSync(aside, { force: true })
  await refuseOccupied(daemonSocket)
  await new Promise<void>((listening, failed) => {
    server.once('error', failed)
    server.listen({ path: aside, backlog }, listening)
  })
  renameSync(aside, daemonSocket)
  const { ino } = lstatSync(daemonSocket)
  const isThere = () => lstatSync(daemonSocket, { throwIfNoEntry: false })?.ino === ino
  return {
    isThere,
    onLost(lost) {
      const watcher = watch(directory, { persistent: false }, () => isThere() || lost())
      watcher.on('error', () => {}) // the idle timer looks as well
    },
    [Symbol.dispose]() {
      if (isThere()) rmSync(daemonSocket)
      lock[Symbol.dispose]()
    },
  }
}

/** Waits for a daemon that leaves. */
async function takeLock(paths: Paths): Promise<Disposable> {
  const lock = { state: dirname(paths.daemonSocket), start: daemonLock(paths) }
  const deadline = performance.now() + leaveMs
  for (;;) {
    const held = tryStartLock(lock)
    if (held) return held
    if (await someoneListens(paths.daemonSocket)) throw new PyroError('state_in_use', 'a daemon runs already', { hint: '`pyro daemon status` shows it' })
    if (performance.now() > deadline) {
      const pid = ownerOf({ owner: lock.start })
      throw new PyroError('daemon_unresponsive', `the daemon before this one${pid === undefined ? '' : ` (process ${pid})`} does not end`)
    }
    await delay(lookMs)
  }
}

async function refuseOccupied(path: string): Promise<void> {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (!stats) return
  if (!stats.isSocket()) throw new PyroError('daemon_unreachable', `${path}, where the daemon's socket belongs, is not a socket`, { hint: `move it away: mv '${path}' '${basename(path)}.old'` })
  if (await someoneListens(path)) throw new PyroError('daemon_unreachable', `the daemon's socket ${path} is held by something else`)
}

function someoneListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EAGAIN'))
  })
}
