import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { PyroError } from '../contract/errors.ts'
import { version } from '../version.ts'
import { shells } from './completion.ts'
import { rootNotes } from './help.ts'
import type { Invocation } from './input.ts'
import { errorLines, errorObject, jsonText } from './render.ts'
import type { CliTable, CommandSpec, OptionSpec } from './spec.ts'

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
    if (error instanceof UsageFault) tell(error, own.includes('--json'))
    else if (!(error instanceof CommanderError)) throw error
    return { exitCode: error instanceof UsageFault || error.exitCode !== 0 ? 2 : 0 }
  }
  return invocation ?? { exitCode: 2 }
}

/** A command line that the parser refuses, and the command that it stopped at. */
class UsageFault extends PyroError {
  readonly command: Command

  constructor(command: Command, message: string) {
    const choices = command
      .createHelp()
      .visibleCommands(command)
      .map((each) => each.name())
      .join(', ')
    super('usage', message.replace(/^error: /, '').trim(), { hint: choices ? `choose one of: ${choices}` : `${words(command)} --help shows what it takes` })
    this.command = command
  }
}

function tell(fault: UsageFault, json: boolean): void {
  if (json) process.stdout.write(`${jsonText(errorObject(fault))}\n`)
  else process.stderr.write(errorLines(fault))
  process.stderr.write(`\n${fault.command.helpInformation()}`)
}

function words(command: Command): string {
  return command.parent ? `${words(command.parent)} ${command.name()}` : command.name()
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
  program.addCommand(
    settle(new Command('completion'))
      .description('Print a completion script for a shell')
      .addArgument(new Argument('<SHELL>', 'Shell to complete in').choices(shells))
      .addHelpText('after', '\nExample:\n  eval "$(pyro completion bash)"'),
  )
  for (const spec of table.commands) parents.get(spec.path.slice(0, -1).join(' '))?.addCommand(leaf(spec, act, behind), { hidden: spec.hidden ?? false })
  return program
}

function settle(command: Command): Command {
  const refuse = (message: string) => {
    throw new UsageFault(command, message)
  }
  return command
    .exitOverride()
    .configureOutput({ outputError: refuse })
    .addHelpText('before', ({ error }) => (error ? refuse(`${words(command)} needs a command`) : '')) // help that nobody asked for
    .helpCommand(false)
    .configureHelp({ helpWidth: 80 })
}

function leaf(spec: CommandSpec, act: (invocation: Invocation) => void, behind?: string[]): Command {
  const command = settle(new Command(spec.path.at(-1))).description(spec.summary)
  for (const { name, description, required, default: fallback } of spec.positionals) {
    const argument = new Argument(required ? `<${name}>` : `[${name}]`, description)
    command.addArgument(fallback === undefined ? argument : argument.default(fallback))
  }
  if (spec.rest) command.argument(`[${spec.rest.name}...]`, 'The command to run in the guest, behind --')
  for (const option of spec.options) command.addOption(optionOf(option).conflicts(rivals(spec, option.flag)))
  if (spec.rest) command.usage(`[options] ${spec.positionals.map(({ name }) => name).join(' ')} -- ${spec.rest.name}...`)
  command.addHelpText('after', `\n${spec.examples.length > 1 ? 'Examples' : 'Example'}:\n${spec.examples.map((line) => `  ${line}`).join('\n')}`)
  if (!spec.rest) command.allowExcessArguments(false)
  return command.action((...given: unknown[]) => {
    if (behind !== undefined && !spec.rest) command.error(`error: '${spec.path.join(' ')}' takes no command behind --`)
    const options = new Map<string, unknown>()
    for (const { flag } of spec.options) {
      const name = attribute(flag)
      if (command.getOptionValueSource(name) === 'cli') options.set(flag, command.getOptionValue(name))
    }
    const words: Record<string, unknown> = {}
    for (const [index, { field }] of spec.positionals.entries()) if (given[index] !== undefined) words[field] = given[index]
    if (spec.rest) words[spec.rest.field] = [...((given[spec.positionals.length] as string[] | undefined) ?? []), ...(behind ?? [])].map(shellQuoted).join(' ')
    act({ spec, options, words })
  })
}

function optionOf({ flag, short, type, placeholder, description, default: fallback, choices, hidden }: OptionSpec): Option {
  const repeatable = type === 'list' || type === 'pairs'
  const value = type === 'boolean' ? '' : ` <${placeholder ?? (type === 'integer' ? 'n' : 'text')}>`
  const option = new Option(`${short ? `${short}, ` : ''}${flag}${value}`, repeatable ? `${description} (repeatable)` : description)
  if (choices) option.choices(choices)
  if (type === 'integer') option.argParser(integer)
  if (repeatable) option.argParser((text: string, before: string[] = []) => [...before, text])
  if (type !== 'boolean' && fallback !== undefined) option.default(fallback)
  return option.hideHelp(hidden ?? false)
}

/** The flags that a flag excludes, as commander names them. */
function rivals({ exclusive = [] }: CommandSpec, flag: string): string[] {
  return exclusive
    .filter((group) => group.includes(flag))
    .flat()
    .filter((other) => other !== flag)
    .map(attribute)
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
