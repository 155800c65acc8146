import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { version } from '../version.ts'
import { rootNotes } from './help.ts'
import type { CliTable, CommandSpec, OptionSpec } from './spec.ts'

/** A command line, understood. */
export interface Invocation {
  spec: CommandSpec
  /** What the operation gets; fields that were not given are left out. */
  input: Record<string, unknown>
  json: boolean
}

/** A command line that was answered by the parser itself: help, the version, or a usage fault (2). */
export interface Answered {
  exitCode: number
}

/**
 * Flags count anywhere before the first `--`; all behind it is the guest's
 * command, word by word.
 */
export function parse(table: CliTable, argv: string[]): Invocation | Answered {
  const split = argv.indexOf('--')
  const [own, behind] = split < 0 ? [argv, undefined] : [argv.slice(0, split), argv.slice(split + 1)]
  let invocation: Invocation | undefined
  const program = build(table, (found) => (invocation = found), behind)
  try {
    program.parse(own, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) return { exitCode: error.exitCode === 0 ? 0 : 2 }
    throw error
  }
  return invocation ?? { exitCode: 2 }
}

/** The whole command tree, for parsing and for completion. */
export function build(table: CliTable, act: (invocation: Invocation) => void, behind?: string[]): Command {
  const program = settle(new Command('pyro'))
    .description('Disposable Linux microVM workspaces for coding agents, forked from a running machine')
    .version(`pyro ${version}`, '--version', 'Print the version')
    .addHelpText('after', rootNotes)
  const parents = new Map<string, Command>([['', program]])
  for (const { path, summary, notes } of table.groups) {
    const group = settle(new Command(path.at(-1))).description(summary)
    if (notes) group.addHelpText('after', `\n${notes}`)
    parents.get(path.slice(0, -1).join(' '))?.addCommand(group)
    parents.set(path.join(' '), group)
  }
  for (const spec of table.commands) parents.get(spec.path.slice(0, -1).join(' '))?.addCommand(leaf(spec, act, behind))
  return program
}

function settle(command: Command): Command {
  return command.exitOverride().showHelpAfterError().helpCommand(false).configureHelp({ helpWidth: 80 })
}

function leaf(spec: CommandSpec, act: (invocation: Invocation) => void, behind?: string[]): Command {
  const command = settle(new Command(spec.path.at(-1))).description(spec.summary)
  for (const { name, description, required, default: fallback } of spec.positionals) {
    const argument = new Argument(required ? `<${name}>` : `[${name}]`, description)
    command.addArgument(fallback === undefined ? argument : argument.default(fallback))
  }
  if (spec.rest) command.argument(`[${spec.rest.name}...]`, 'The command to run in the guest, behind --')
  for (const option of spec.options) command.addOption(optionOf(option))
  if (spec.rest) command.usage(`[options] ${spec.positionals.map(({ name }) => name).join(' ')} -- ${spec.rest.name}...`)
  command.addHelpText('after', `\n${spec.examples.length > 1 ? 'Examples' : 'Example'}:\n${spec.examples.map((line) => `  ${line}`).join('\n')}`)
  if (!spec.rest) command.allowExcessArguments(false)
  return command.action((...given: unknown[]) => {
    if (behind !== undefined && !spec.rest) command.error(`error: '${spec.path.join(' ')}' takes no command behind --`)
    const values = command.opts<Record<string, unknown>>()
    const input: Record<string, unknown> = {}
    for (const { flag, field } of spec.options) {
      const name = attribute(flag)
      if (field !== null && command.getOptionValueSource(name) === 'cli') input[field] = values[name]
    }
    for (const [index, { field }] of spec.positionals.entries()) if (given[index] !== undefined) input[field] = given[index]
    if (spec.rest) input[spec.rest.field] = [...((given[spec.positionals.length] as string[] | undefined) ?? []), ...(behind ?? [])].map(shellQuoted).join(' ')
    act({ spec, input, json: values['json'] === true })
  })
}

function optionOf({ flag, type, description, default: fallback, choices }: OptionSpec): Option {
  const option = new Option(type === 'boolean' ? flag : `${flag} <${type === 'integer' ? 'n' : 'text'}>`, description)
  if (choices) option.choices(choices)
  if (type === 'integer') option.argParser(integer)
  if (type !== 'boolean' && fallback !== undefined) option.default(fallback)
  return option
}

function integer(text: string): number {
  if (!/^-?\d+$/.test(text)) throw new InvalidArgumentError(`'${text}' is not an integer.`)
  return Number(text)
}

/** The name under which commander keeps an option's value. */
function attribute(flag: string): string {
  return flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

/** One word for a POSIX shell, so that argument boundaries survive the way through `sh -lc`. */
export function shellQuoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`
}
