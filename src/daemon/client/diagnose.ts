import { readFileSync } from 'node:fs'
import { PyroError } from '../../contract/errors.ts'
import type { Paths } from '../../host/paths.ts'
import { daemonLock, daemonTitle } from '../socket.ts'

/** The process that serves this state directory, or is about to; undefined when there is none, or the kernel does not tell. */
export async function daemonPid(paths: Paths): Promise<number | undefined> {
  const { ownerOf } = await import('../../store/lock.ts')
  const pid = ownerOf({ owner: daemonLock(paths) })
  // The kernel names the file by a number that a file elsewhere may have as well, and this process may be about to be killed.
  return pid !== undefined && isDaemon(pid) ? pid : undefined
}

function isDaemon(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(daemonTitle)
  } catch {
    return false
  }
}

/** Whether a process was stopped by a signal or by a debugger. */
export function isStopped(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return /^[Tt]$/.test(stat.charAt(stat.lastIndexOf(')') + 2))
  } catch {
    return false
  }
}

/** Why the daemon's socket takes connections but nobody answers on them as the daemon does. */
export async function diagnose(paths: Paths, found: string): Promise<PyroError> {
  const pid = await daemonPid(paths)
  if (pid === undefined) return unreachable(paths, found)
  const force = '`pyro daemon stop --force` ends it: machines and workspaces stay'
  if (isStopped(pid)) {
    return new PyroError('daemon_unresponsive', `the daemon (process ${pid}) is stopped`, { hint: `\`kill -CONT ${pid}\` lets it go on; ${force}`, details: { pid } })
  }
  return new PyroError('daemon_unresponsive', `the daemon (process ${pid}) does not answer: ${found}`, { hint: force, details: { pid } })
}

export function unreachable({ daemonSocket }: Paths, found: string): PyroError {
  return new PyroError('daemon_unreachable', `the daemon's socket ${daemonSocket} is held by something else: ${found}`)
}
