import { PyroError } from '../contract/errors.ts'
import { resolvePaths } from '../host/paths.ts'
import type { CommandContext } from './commands/command.ts'
import { type Invocation, parse } from './parse.ts'
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
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    interrupted ??= error.code === 'EPIPE' ? 141 : 1
    abort.abort(error)
  })
  try {
    return await invoke(parsed, { env: process.env, signal: abort.signal })
  } catch (thrown) {
    if (interrupted !== undefined) return interrupted
    const error = PyroError.from(thrown)
    if (process.env['PYRO_DEBUG']) console.error(thrown)
    if (parsed.json) process.stdout.write(`${jsonText(errorObject(error))}\n`)
    else process.stderr.write(errorLines(error))
    return 1
  }
}

async function invoke({ spec, input, json }: Invocation, { env, signal }: { env: NodeJS.ProcessEnv; signal: AbortSignal }): Promise<number> {
  const load = commands[spec.path.join(' ')]
  if (!load) throw new PyroError('internal', `no command is behind '${spec.path.join(' ')}'`)
  const context: CommandContext = { engine: { paths: resolvePaths(env), env }, json, signal }
  return (await load())(input as never, context)
}
