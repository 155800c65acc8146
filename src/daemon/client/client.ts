import { homedir } from 'node:os'
import { resolve } from 'node:path'
import type { Call, Caller } from '../../contract/call.ts'
import { PyroError } from '../../contract/errors.ts'
import { buildId } from '../../host/build.ts'
import type { Paths } from '../../host/paths.ts'
import { callerVariables, followable } from '../wire.ts'
import type { Starting } from './begin.ts'
import { canceled, Cut, http } from './knock.ts'
import { type Carried, plainCall } from './plain.ts'
import type { DaemonProgram } from './start.ts'
import { type Reached, streamCall } from './stream.ts'

interface ClientOptions {
  /** Words that start a daemon, in the place of the usual ones. */
  program?: DaemonProgram
  /** Our build id, in the place of the real one. */
  build?: string
}

/** So often in a row a command is taken up again without getting on. */
const mostCuts = 5

/**
 * The daemon of a state directory, started when it is absent. Nothing happens before the first call;
 * disposing of it cuts what still runs and lets go of its connections.
 */
export function createClient(paths: Paths, env: NodeJS.ProcessEnv, { program, build = buildId() }: ClientOptions = {}): Caller & AsyncDisposable {
  const agent = new http.Agent({ keepAlive: true })
  const disposed = new AbortController()
  const starting: Starting = { paths, env, build, agent, program }
  const headers = headersOf(env)
  return {
    async call(name, input, call = {}) {
      const signal = call.signal ? AbortSignal.any([call.signal, disposed.signal]) : disposed.signal
      const carried: Carried = { headers, signal, progress: call.progress }
      const sent = withAbsolutePaths(input)
      try {
        const streams = followable.has(name) || call.onOutput || call.onStarted || call.progress || call.stdin
        return (await (streams ? followedCall(starting, name, sent, call, carried) : plainCall(starting, name, sent, carried))) as never
      } catch (error) {
        throw signal.aborted ? canceled(signal.reason) : toldOf(error, name)
      }
    },
    async [Symbol.asyncDispose]() {
      disposed.abort(new PyroError('canceled', 'the client was closed'))
      agent.destroy()
    },
  }
}

function headersOf(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(Object.entries(callerVariables).flatMap(([variable, header]) => (env[variable] ? [[header, encodeURIComponent(env[variable])]] : [])))
}

/** The daemon's working directory is not ours, nor need its home be. */
function withAbsolutePaths<Input>(input: Input): Input {
  const { seed_path: path } = input as { seed_path?: unknown }
  return typeof path === 'string' && path !== '' ? { ...input, seed_path: resolve(path.replace(/^~(?=$|\/)/, homedir())) } : input
}

/** A call whose connection breaks is never made again; but a command whose place in the log is known goes on without us, and can be followed. */
async function followedCall(starting: Starting, name: string, input: object, call: Call, carried: Carried): Promise<unknown> {
  const reached: Reached = { stdout: 0, stderr: 0, stdinEnded: call.stdin === undefined, frames: 0 }
  let [operation, asked] = [name, input]
  for (let cuts = 0, frames = 0; ; ) {
    try {
      return await streamCall(starting, operation, asked, call, carried, reached)
    } catch (error) {
      const sequence = reached.started?.sequence ?? (name === 'workspace_follow' ? (input as { sequence: number }).sequence : undefined)
      if (!(error instanceof Cut) || !followable.has(name) || sequence === undefined || carried.signal.aborted) throw error
      const { workspace_id: id } = input as { workspace_id: string }
      if (!reached.stdinEnded) {
        throw new PyroError('daemon_failed', `the daemon ended while the command had not yet read all; the command goes on as number ${sequence}`, {
          hint: `\`pyro workspace logs ${id} --sequence ${sequence}\` shows what becomes of it`,
          cause: error,
        })
      }
      cuts = reached.frames > frames ? 1 : cuts + 1
      frames = reached.frames
      if (cuts > mostCuts) throw error
      operation = 'workspace_follow'
      const { stdout_offset = 0, stderr_offset = 0 } = input as { stdout_offset?: number; stderr_offset?: number }
      asked = { workspace_id: id, sequence, stdout_offset: stdout_offset + reached.stdout, stderr_offset: stderr_offset + reached.stderr }
    }
  }
}

function toldOf(error: unknown, name: string): PyroError {
  if (!(error instanceof Cut)) return PyroError.from(error)
  return new PyroError('daemon_failed', `the daemon ended during ${name}: whether it was done is not known`, { cause: error })
}
