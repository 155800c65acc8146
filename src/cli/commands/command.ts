import type { InputOf, Operation } from '../../contract/operation.ts'
import type { Engine } from '../../engine/engine.ts'
import type { Progress } from '../../contract/progress.ts'

export interface CommandContext {
  engine: Engine
  json: boolean
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
