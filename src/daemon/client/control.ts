import { setTimeout as delay } from 'node:timers/promises'
import { PyroError } from '../../contract/errors.ts'
import { buildId } from '../../host/build.ts'
import type { Paths } from '../../host/paths.ts'
import { checkSocketDirectory, daemonLock } from '../socket.ts'
import { type DaemonStatus, errorFromWire, type WireError } from '../wire.ts'
import { begin } from './begin.ts'
import { daemonPid } from './diagnose.ts'
import { knock, textOf } from './knock.ts'
import { askToLeave } from './leave.ts'

const endMs = 10_000
const lookMs = 10

/** What the daemon says of itself, whatever its build; undefined when there is none. Starts none. */
export async function daemonStatus(paths: Paths, signal?: AbortSignal): Promise<DaemonStatus | undefined> {
  if (!checkSocketDirectory(paths)) return undefined
  const begun = await knock({ paths, build: buildId() }, { method: 'GET', path: '/control/status', signal })
  if (!('request' in begun)) {
    if (begun.refused === 'error') throw begun.error
    return undefined
  }
  begun.request.end()
  const status = JSON.parse(await textOf(await begun.response)) as DaemonStatus | { error: WireError }
  if ('error' in status) throw errorFromWire(status.error)
  return status
}

export interface Stopping {
  /** End every machine as well; needs a daemon, and starts one when there is none. */
  machines: boolean
  /** Kill a daemon that hangs. */
  force: boolean
  signal?: AbortSignal | undefined
}

/** Ends the daemon and waits for its end. Resolves to whether there was one. */
export async function stopDaemon(paths: Paths, env: NodeJS.ProcessEnv, { machines, force, signal }: Stopping): Promise<boolean> {
  const build = buildId()
  const killed = force && (await killDaemon(paths))
  if (killed && !machines) return true
  if (machines) {
    const begun = await begin({ paths, env, build }, { method: 'GET', path: '/control/status', signal })
    begun.request.destroy()
  }
  if (!checkSocketDirectory(paths)) return false
  return askToLeave({ paths, build }, { machines, signal })
}

/** Ends the daemon's process without asking it; a stopped one, too. */
async function killDaemon(paths: Paths): Promise<boolean> {
  const pid = await daemonPid(paths)
  if (pid === undefined) return false
  process.kill(pid, 'SIGKILL')
  const { ownerOf } = await import('../../store/lock.ts')
  const deadline = performance.now() + endMs
  // It has ended when its locks are free, which is after it has lost its name.
  while ([daemonLock(paths), paths.owner].some((owner) => ownerOf({ owner }) === pid)) {
    if (performance.now() > deadline) throw new PyroError('daemon_unresponsive', `the daemon (process ${pid}) does not end`, { hint: 'it waits for a disk or a device: `ps` shows for which', details: { pid } })
    await delay(lookMs)
  }
  return true
}
