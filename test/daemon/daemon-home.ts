import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type OutgoingHttpHeaders, request as httpRequest } from 'node:http'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { Caller } from '../../src/contract/call.ts'
import { createClient } from '../../src/daemon/client/client.ts'
import { daemonPid } from '../../src/daemon/client/diagnose.ts'
import { type Home, temporaryHome, until } from '../behaviours/home.ts'

const standIn = [process.execPath, join(import.meta.dirname, 'stand-in.ts')]

/** A state directory whose daemon is the stand-in. */
export interface DaemonHome extends Home {
  /** Of the given build; of the sources' one unless given. Closed with the home. */
  client(options?: { build?: string; env?: NodeJS.ProcessEnv }): Caller & AsyncDisposable
  /** What the daemons have noted, without their process ids. */
  journal(): string[]
  pid(): Promise<number>
  log(): string
}

/** The daemon gets a build id of its own through `STAND_IN_BUILD`. */
export function daemonHome(env: NodeJS.ProcessEnv = {}): DaemonHome {
  const home = temporaryHome({ PYRO_DAEMON_IDLE_SECONDS: '60', ...env })
  const { paths } = home.engine
  home.machines.defer(async () => {
    const pid = await daemonPid(paths)
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
  })
  return {
    ...home,
    client({ build, env } = {}) {
      const all = { ...home.env, ...env }
      return home.machines.use(createClient(paths, all, { program: standIn, ...(build ? { build } : {}) }))
    },
    journal: () => linesOf(join(paths.state, 'journal')).map((line) => line.slice(line.indexOf(' ') + 1)),
    pid: () => until('a daemon', () => daemonPid(paths)),
    log: () => readFileSync(paths.daemonLog, 'utf8'),
  }
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean)
  } catch {
    return []
  }
}

/** Runs lines of TypeScript in a process of its own, `client` being one of the home's. What it prints is its result. */
export function otherProcess({ env }: Pick<Home, 'env'>, lines: string, { through = [], detached = false }: { through?: string[]; detached?: boolean } = {}): ChildProcess {
  const source = (name: string) => JSON.stringify(join(import.meta.dirname, '../..', name))
  const script = `import { createClient } from ${source('src/daemon/client/client.ts')}
import { resolvePaths } from ${source('src/host/paths.ts')}
const client = createClient(resolvePaths(process.env), process.env, { program: ${JSON.stringify(standIn)} })
${lines}
process.exit(0)`
  const [program = '', ...words] = [...through, process.execPath, '--input-type=module-typescript', '-e', script]
  return spawn(program, words, { env, stdio: ['ignore', 'pipe', 'pipe'], detached })
}

export async function firstLine({ stdout }: ChildProcess): Promise<string> {
  let text = ''
  for (stdout?.on('data', (chunk: Buffer) => (text += chunk.toString())); !text.includes('\n'); ) await once(stdout as Readable, 'data')
  return text.slice(0, text.indexOf('\n'))
}

interface Sent {
  method?: string
  headers?: OutgoingHttpHeaders
  body?: string | Buffer
}

/** A request as somebody makes it who is not our client. */
export function request({ engine }: Home, path: string, { method = 'POST', headers = {}, body = '' }: Sent = {}): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ socketPath: engine.paths.daemonSocket, agent: false, method, path, headers: { 'x-pyro-protocol': '1', 'x-pyro-build': '0-0', ...headers } }, async (response) => {
      let text = ''
      for await (const chunk of response) text += String(chunk)
      resolve({ status: response.statusCode ?? 0, body: text })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
