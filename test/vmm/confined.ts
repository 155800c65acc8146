import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, chownSync, copyFileSync, existsSync, mkdtempSync, readFileSync, readlinkSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { resolvePaths } from '../../src/host/paths.ts'
import type { Confine } from '../../src/vmm/confinement.ts'
import { until } from '../behaviours/home.ts'

/** What `pyro-host probe` reports from a VMM's place; its documentation is the Go type `Answers` in native/internal/confine. */
export interface Answers {
  user: number
  group: number
  groups: number[] | null
  pid: number
  host_name: string
  root: string[]
  capabilities: string
  no_new_privs: boolean
  seccomp: number
  death_signal: number
  see: Record<string, string>
  dial: Record<string, string>
  signal: Record<string, string>
  write: Record<string, string>
  call: Record<string, string>
  files: number
  core: number
}

export interface Questions {
  see?: string[]
  dial?: string[]
  signal?: number[]
  write?: string[]
}

const ownUser = process.getuid?.() ?? 0
const ordinary = 65534

/** Whom pyro may run as here. */
export const users: { name: string; id: number }[] = ownUser === 0 ? [{ name: 'root', id: 0 }, { name: 'an ordinary user', id: ordinary }] : [{ name: 'an ordinary user', id: ownUser }]

/** A place for machines of a user's, with a `pyro-host` that the user can run. */
export interface Place extends AsyncDisposable {
  directory: string
  program: string
  user: number
}

export function place(user: number): Place {
  const directory = mkdtempSync(join(tmpdir(), 'pyro-confined-'))
  const program = join(directory, 'pyro-host')
  copyFileSync(join(resolvePaths().programs, 'pyro-host'), program)
  chmodSync(program, 0o755)
  if (user !== ownUser) chownSync(directory, user, user)
  return { directory, program, user, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) }
}

interface MonitorEvent {
  event: string
  [field: string]: unknown
}

/** A VMM under a monitor that runs as the place's user. */
export interface Monitored extends AsyncDisposable {
  pid: number
  monitor: number
  ended: Promise<MonitorEvent>
}

export async function underMonitor({ directory, program, user }: Place, argv: string[], confine: Confine): Promise<Monitored> {
  const as = user === ownUser ? [] : ['setpriv', '--reuid', String(user), '--regid', String(user), '--clear-groups', '--']
  const [first = '', ...rest] = [...as, program, 'monitor']
  const child = spawn(first, rest, { cwd: '/', stdio: ['pipe', 'pipe', 'inherit'] })
  const events: MonitorEvent[] = []
  createInterface({ input: child.stdout }).on('line', (line) => events.push(JSON.parse(line) as MonitorEvent))
  const closed = new Promise((done) => child.once('close', done))
  const id = `probe${Math.random().toString(36).slice(2)}`
  const spec = { id, directory: join(directory, id), sockets: '', copies: [], locks: [], listen: [], open: [], argv, confine, console: { name: '', bytes: 65536 } }
  child.stdin.on('error', () => {})
  child.stdin.write(`${JSON.stringify(spec)}\n`)
  const event = (name: string) =>
    until(name, () => {
      const error = events.find((event) => event.event === 'error')
      if (error) throw new assert.AssertionError({ message: JSON.stringify(error) })
      return events.find((event) => event.event === name)
    })
  const started = await event('started')
  const ended = event('exited')
  ended.catch(() => {})
  return {
    pid: Number(started['pid']),
    monitor: child.pid ?? 0,
    ended,
    async [Symbol.asyncDispose]() {
      child.stdin.end()
      await closed
    },
  }
}

/** Has a probe take the VMM's place. */
export async function probe(at: Place, confine: Confine, questions: Questions): Promise<Answers> {
  await using vmm = await underMonitor(at, [at.program, 'probe', JSON.stringify(questions)], confine)
  return JSON.parse(String((await vmm.ended)['console'])) as Answers
}

/** What the kernel says of a process. */
export function look(pid: number) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const own = (name: string) => readlinkSync(`/proc/${pid}/ns/${name}`) !== readlinkSync(`/proc/self/ns/${name}`)
  return {
    field: (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1]?.trim().split(/\s+/) ?? [],
    namespaces: ['mnt', 'net', 'pid', 'ipc', 'uts', 'cgroup'].filter((name) => existsSync(`/proc/self/ns/${name}`) && own(name)),
    /** Mount points and whether they can be written to. */
    mounts: readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n').map((line) => {
      const [, , , , path = '', options = ''] = line.split(' ')
      return { path, readOnly: options.split(',').includes('ro') }
    }),
  }
}
