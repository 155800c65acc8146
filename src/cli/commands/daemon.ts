import { once } from 'node:events'
import { closeSync, openSync, readFileSync, readSync, statSync, watch } from 'node:fs'
import type * as operations from '../../contract/daemon.ts'
import { PyroError } from '../../contract/errors.ts'
import type { OutputOf } from '../../contract/operation.ts'
import { daemonStatus, stopDaemon } from '../../daemon/client/control.ts'
import type { DaemonStatus } from '../../daemon/wire.ts'
import type { Paths } from '../../host/paths.ts'
import { escaped } from '../render.ts'
import { readableTime } from '../times.ts'
import { type CommandAction, printResult } from './command.ts'

export const status: CommandAction<typeof operations.statusDaemon> = async (_, { engine: { paths }, json, signal }) => {
  const places = { socket: paths.daemonSocket, state_dir: paths.state, log: paths.daemonLog }
  const found = await daemonStatus(paths, signal)
  const result: OutputOf<typeof operations.statusDaemon> = found ? { running: true, ...places, ...found } : { running: false, ...places }
  return printResult({ json }, result, lines(result))
}

function lines(result: OutputOf<typeof operations.statusDaemon>): string[] {
  const places = [`Socket: ${result.socket}`, `State directory: ${result.state_dir}`, `Log: ${result.log}`]
  if (!result.running) return ['Daemon: not running; the next command that needs it starts it', ...places]
  const { pid, version, build, started_at, memory_bytes, calls, workspaces, machines, recovery } = result
  return [
    `Daemon: running, process ${pid}`,
    `Version: ${version} (build ${build})`,
    `Started at: ${readableTime(started_at)}`,
    `Memory: ${Math.ceil(memory_bytes / 1024 ** 2)} MiB`,
    `Calls: ${calls}`,
    `Workspaces: ${workspaces}`,
    `Machines: ${machines.running} running, ${machines.paused} paused, ${machines.warm} warm`,
    ...(recovery ? recoveryLines(recovery) : []),
    ...places,
  ]
}

function recoveryLines({ recorded_at, reason, backup, found, ignored }: NonNullable<DaemonStatus['recovery']>): string[] {
  return [
    `Records: damaged (${escaped(reason)}), found again at ${readableTime(recorded_at)}: ${found.length} by their directories`,
    ...(backup === null ? [] : [`Damaged records: ${escaped(backup)} (and what begins with its name); remove them when you need them no more`]),
    ...ignored.map((each) => `Not found again: ${escaped(each.path)} (${escaped(each.reason)})`),
  ]
}

export const stop: CommandAction<typeof operations.stopDaemon> = async ({ machines = false, force = false }, { engine: { paths, env }, json, signal }) => {
  const stopped = await stopDaemon(paths, env, { machines, force, signal })
  return printResult({ json }, { stopped }, [stopped ? `Stopped the daemon${machines ? ' and every machine' : '; machines go on'}.` : 'The daemon is not running.'])
}

export const logs: CommandAction<typeof operations.logsDaemon> = async ({ lines: count = 100, follow = false }, { engine: { paths }, json, signal }) => {
  if (!Number.isInteger(count) || count < 1) throw new PyroError('invalid_argument', 'lines must be positive')
  const text = [`${paths.daemonLog}.1`, paths.daemonLog].map(contentOf).join('')
  const last = text.split('\n').slice(0, -1).slice(-count)
  printResult({ json }, { log: paths.daemonLog, lines: last }, last)
  return follow ? await passOnAdded(paths, signal) : 0
}

/** Until the signal aborts, which is thrown. */
async function passOnAdded({ daemonLog }: Paths, signal: AbortSignal): Promise<never> {
  let at = sizeOf(daemonLog)
  // Of the directory, so that a log that is not there yet is seen as well.
  const watcher = watch(daemonLog.slice(0, daemonLog.lastIndexOf('/')))
  try {
    for (;;) {
      await once(watcher, 'change', { signal })
      const size = sizeOf(daemonLog)
      if (size < at) at = 0 // emptied: it had become too long
      if (size > at) process.stdout.write(bytesOf(daemonLog, at, size))
      at = size
    }
  } finally {
    watcher.close()
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

function bytesOf(path: string, from: number, to: number): Buffer {
  const file = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(to - from)
    return buffer.subarray(0, readSync(file, buffer, 0, buffer.length, from))
  } finally {
    closeSync(file)
  }
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** Does not return: the process is the daemon until it leaves. */
export const serve: CommandAction<typeof operations.serveDaemon> = async (_, { engine: { env } }) => {
  const [{ runDaemon }, { engineBackend }] = await Promise.all([import('../../daemon/server/run.ts'), import('../../daemon/server/backend.ts')])
  return runDaemon(env, { backend: engineBackend })
}
