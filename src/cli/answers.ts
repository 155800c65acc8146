import type { Command } from 'commander'
import { version } from '../version.ts'
import { completionScript, shells } from './completion.ts'
import { build } from './parse.ts'
import { cliTable } from './table.ts'

/** What `--version`, `completion` and every `--help` print, by command line: plain data, worked out when the CLI is bundled. */
export function answers(): Record<string, string> {
  const texts: Record<string, string> = { '--version': `pyro ${version}\n` }
  for (const shell of shells) texts[`completion ${shell}`] = completionScript(shell, cliTable())
  const collect = (command: Command, path: string[]) => {
    let text = ''
    command.configureOutput({ writeOut: (part) => (text += part) }).outputHelp()
    for (const flag of ['-h', '--help']) texts[[...path, flag].join(' ')] = text
    for (const child of command.commands) collect(child, [...path, child.name()])
  }
  collect(
    build(cliTable(), () => {}),
    [],
  )
  return texts
}
