import { once } from 'node:events'
import { PyroError } from '../contract/errors.ts'
import { resolvePaths } from '../host/paths.ts'
import type { CommandContext } from './commands/command.ts'
import { inputOf, type Invocation, ownFlags } from './input.ts'
import { parse } from './parse.ts'
import { errorLines, errorObject, jsonText } from './render.ts'
import { cliTable } from './table.ts'
import { commands } from './commands/index.ts'

/** Interrupted by the person, as shells count it: 128 and the signal's number. */
const signalExitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

/** Runs one command line. Resolves to the exit code. */
export async function main(argv: string[]): Promise<number> {
  const parsed = parse(cliTable(), argv)
  if ('exitCode' in parsed) return parsed.exitCode
  const abort = new AbortController()
  let interrupted: number | undefined
  for (const [name, code] of Object.entries(signalExitCodes)) {
    process.on(name, () => {
      interrupted ??= code
      abort.abort(new PyroError('canceled', 'interrupted'))
    })
  }
  // A reader that goes away, as in `pyro run … | head`, ends the work.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      interrupted ??= error.code === 'EPIPE' ? 141 : 1
      abort.abort(error)
    })
  }
  const flags = ownFlags(parsed)
  const code = await invoke(parsed, contextOf(process.env, flags, abort.signal)).catch((thrown: unknown) => {
    if (interrupted !== undefined) return interrupted
    const error = PyroError.from(thrown)
    if (process.env['PYRO_DEBUG']) console.error(thrown)
    if (flags.has('--json')) process.stdout.write(`${jsonText(errorObject(error))}\n`)
    else process.stderr.write(errorLines(error))
    return 1
  })
  if (!abort.signal.aborted) await Promise.race([written(), once(abort.signal, 'abort')])
  return interrupted ?? code
}

/** Resolves when a reader of ours has taken all, or has gone: a socket takes no more at once than its buffer holds. */
async function written(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.writableLength > 0) await new Promise<void>((resolve) => stream.write('', () => resolve()))
  }
}

function contextOf(env: NodeJS.ProcessEnv, flags: ReadonlySet<string>, signal: AbortSignal): CommandContext {
  const paths = resolvePaths(env)
  const connect = async () => (await import('../daemon/client/client.ts')).createClient(paths, env)
  return { engine: { paths, env }, json: flags.has('--json'), flags, connect, signal }
}

async function invoke(invocation: Invocation, context: CommandContext): Promise<number> {
  const path = invocation.spec.path.join(' ')
  const load = commands[path]
  if (!load) throw new PyroError('internal', `no command is behind '${path}'`)
  const input = inputOf(invocation)
  return (await load())(input as never, context)
}
