import type { Caller } from '../../contract/call.ts'
import type { InputOf, Operation } from '../../contract/operation.ts'
import type { Engine } from '../../engine/engine.ts'
import type { Progress } from '../../contract/progress.ts'
import { jsonText } from '../render.ts'

export interface CommandContext {
  engine: Engine
  json: boolean
  /** The CLI's own flags that were given, such as `--json`. */
  flags: ReadonlySet<string>
  /** The daemon, which is started at the first call when it is absent. */
  connect: () => Promise<Caller & AsyncDisposable>
  signal: AbortSignal
}

/** Carries an invocation out and resolves to the exit code. The input is as the parser found it: the engine checks it. */
export type CommandAction<O extends Operation> = (input: InputOf<O>, context: CommandContext) => Promise<number>

/** Progress as lines on stderr, `[phase] detail`, one for each change; silent with --json. */
export function progressLines(json: boolean): Progress | undefined {
  if (json) return undefined
  let last = ''
  return ({ phase, detail = '', fraction }) => {
    const percent = fraction === undefined ? '' : ` ${Math.floor(fraction * 10) * 10}%`
    const line = `[${phase}] ${detail}${percent}`
    if (line !== last) process.stderr.write(`${line}\n`)
    last = line
  }
}

/** The result of a command that was carried out: one document with --json, else lines. Resolves to the exit code. */
export function printResult({ json }: Pick<CommandContext, 'json'>, result: unknown, lines: string[]): number {
  process.stdout.write(json ? `${jsonText(result)}\n` : lines.map((line) => `${line}\n`).join(''))
  return 0
}
