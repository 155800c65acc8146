import assert from 'node:assert/strict'
import { pyro } from './command-line.ts'
import { environment, type Home } from './home.ts'

/** What is expected of a command line that is refused. */
export interface Refusal {
  code: string
  error: RegExp
  hint: RegExp
}

interface Options {
  env?: NodeJS.ProcessEnv
  through?: string[]
  exitCode?: number
}

/** Commands of two words. */
const groups: ReadonlySet<string> = new Set(['env', 'workspace', 'daemon'])

/** The same for a person and for a program: one [error] line and a [hint], or an object with a code. */
export async function assertRefused(home: Home, args: string[], { code, error, hint }: Refusal, { exitCode = 1, ...options }: Options = {}): Promise<void> {
  const human = await pyro(home, args, options)
  const lines = human.stderr.toString().split('\n').filter((line) => !/^\[(run|pull|template|seed)\] /.test(line))
  assert.equal(human.code, exitCode, lines.join('\n'))
  assert.equal(human.stdout.toString(), '')
  assert.match(lines[0] ?? '', /^\[error\] /)
  assert.match(lines[0] ?? '', error)
  assert.match(lines[1] ?? '', /^\[hint\] /)
  assert.match(lines[1] ?? '', hint)
  if (exitCode === 1) assert.deepEqual(lines.slice(2), [''])
  const json = await pyro(home, args.toSpliced(groups.has(args[0] ?? '') ? 2 : 1, 0, '--json'), options)
  const told = JSON.parse(json.stdout.toString()) as Record<string, unknown>
  assert.deepEqual([json.code, told['ok'], told['code']], [exitCode, false, code])
  assert.match(String(told['error']), error)
  assert.match(String(told['hint']), hint)
  if (exitCode === 1) assert.equal(json.stderr.toString(), '')
}

export function runTrue(...flags: string[]): string[] {
  return ['run', environment, ...flags, '--', 'true']
}
