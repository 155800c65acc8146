import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { collect, type Ended, pyro, pyroProgram } from '../behaviours/command-line.ts'
import { environment, type Home, temporaryHome } from '../behaviours/home.ts'

/** A home whose daemon and machines end with the file. */
export function workspaceHome(env: NodeJS.ProcessEnv = {}): Home {
  const home = temporaryHome(env)
  home.machines.defer(async () => void (await pyro(home, ['daemon', 'stop', '--machines'])))
  return home
}

/** Creates a workspace by the command line and resolves to its id. */
export async function newWorkspace(home: Home, ...flags: string[]): Promise<string> {
  const { code, stdout, stderr } = await pyro(home, ['workspace', 'create', environment, '--id-only', ...flags])
  assert.equal(code, 0, stderr.toString())
  const [, id = ''] = /^([0-9a-f]{12})\n$/.exec(stdout.toString()) ?? []
  assert.ok(id, stdout.toString())
  return id
}

/** Runs `bin/pyro` with something to read. Its stdin stays open when `input` does. */
export function pyroReading(home: Home, args: string[], input: Readable): Promise<Ended> {
  const child = spawn(pyroProgram, args, { env: home.env, stdio: ['pipe', 'pipe', 'pipe'], timeout: 120_000, killSignal: 'SIGKILL' })
  child.stdin.on('error', () => {}) // it may end before it has read all
  input.pipe(child.stdin)
  return collect(child)
}

/** The document that a command prints with --json. */
export async function pyroJson<Result>(home: Home, ...args: string[]): Promise<Result> {
  const { code, stdout, stderr } = await pyro(home, [...args, '--json'])
  assert.deepEqual([code, stderr.toString()], [0, ''], stdout.toString())
  return JSON.parse(stdout.toString()) as Result
}
