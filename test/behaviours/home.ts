import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Engine } from '../../src/engine/engine.ts'
import { resolvePaths } from '../../src/host/paths.ts'

/** The environment that the tests use: the smallest. */
export const environment = 'debian:12-base'

/** A place of its own for machines and sockets, so that what is left in it is ours. The cache is shared. */
export interface Home {
  directory: string
  env: NodeJS.ProcessEnv
  engine: Engine
  /** Ends with the test or the file, before its home is looked at. */
  machines: AsyncDisposableStack
}

const dyingMs = 10_000

/** Goes away when the test or the file is done, and fails it when a machine is left. */
export function temporaryHome(env: NodeJS.ProcessEnv = {}): Home {
  const directory = mkdtempSync(join(tmpdir(), 'pyro-home-'))
  const own = { ...process.env, XDG_STATE_HOME: directory, XDG_RUNTIME_DIR: directory, ...env }
  const home = { directory, env: own, engine: { paths: resolvePaths(own), env: own }, machines: new AsyncDisposableStack() }
  after(async () => {
    await home.machines.disposeAsync()
    await assertNothingLeft(home)
    await rm(directory, { recursive: true, force: true })
  })
  return home
}

/** What is there of machines: their directories, their sockets and the processes that use any of them. */
export function remains({ directory, engine: { paths } }: Home): string[] {
  return [...entries(paths.machines), ...entries(paths.sockets), ...processesUsing(directory).map((pid) => `process ${pid}: ${commandLine(pid)}`)]
}

/** What dies does so at once, but not before we look. */
export async function assertNothingLeft(home: Home): Promise<void> {
  const deadline = Date.now() + dyingMs
  while (remains(home).length > 0 && Date.now() < deadline) await delay(10)
  assert.deepEqual(remains(home), [])
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory).map((name) => join(directory, name))
  } catch {
    return []
  }
}

/** Processes that run in a directory, have a file below it open or name it on their command line. */
export function processesUsing(directory: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number)
  return pids.filter((pid) => pid !== process.pid && (commandLine(pid).includes(directory) || openPaths(pid).some((path) => path.startsWith(directory))))
}

export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  } catch {
    return ''
  }
}

function openPaths(pid: number): string[] {
  const read = (name: string) => {
    try {
      return readlinkSync(`/proc/${pid}/${name}`)
    } catch {
      return ''
    }
  }
  try {
    return [read('cwd'), ...readdirSync(`/proc/${pid}/fd`).map((fd) => read(`fd/${fd}`))]
  } catch {
    return []
  }
}

/** Waits until a condition holds. */
export async function until<T>(what: string, probe: () => T | Promise<T>, timeoutMs = 20_000): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const found = await probe()
    if (found) return found
    if (Date.now() > deadline) throw new assert.AssertionError({ message: `waited in vain for ${what}` })
    await delay(10)
  }
}
