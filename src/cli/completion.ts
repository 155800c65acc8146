import type { CliTable, CommandSpec, OptionSpec } from './spec.ts'

export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

/** What a shell offers behind a command line that names a group or a command. */
interface Place {
  /** Words after `pyro`, joined by spaces. */
  path: string
  words: string[]
  /** Its first argument is a workspace. */
  takesWorkspace: boolean
}

function places({ commands, groups }: CliTable): Place[] {
  const shown = commands.filter(({ hidden }) => !hidden)
  const under = (path: string) => [...groups, ...shown].filter((each) => each.path.slice(0, -1).join(' ') === path).map((each) => each.path.at(-1) as string)
  const group = (path: string, ...more: string[]): Place => ({ path, words: [...more, ...under(path)], takesWorkspace: false })
  return [
    group('', '--version', '--help', 'completion'),
    { path: 'completion', words: [...shells], takesWorkspace: false },
    ...groups.map(({ path }) => group(path.join(' '))),
    ...shown.map((command) => ({
      path: command.path.join(' '),
      words: [...shownOptions(command).map(({ flag }) => flag), '--help'],
      takesWorkspace: command.positionals[0]?.field === 'workspace_id',
    })),
  ]
}

function shownOptions({ options }: CommandSpec): OptionSpec[] {
  return options.filter(({ hidden }) => !hidden)
}

/** Flags that take a value, each with the values that are to be chosen from. */
function valuedFlags({ commands }: CliTable): Map<string, string[]> {
  return new Map(commands.flatMap(shownOptions).flatMap(({ flag, type, choices = [] }) => (type === 'boolean' ? [] : [[flag, choices] as const])))
}

// In zsh `path` and `words` are variables of the shell itself. COMP_WORDS has `=` as a word of its own in bash, not in zsh.
function bash(table: CliTable): string {
  const all = places(table)
  const valued = valuedFlags(table)
  const chosen = [...valued].filter(([, choices]) => choices.length > 0)
  return `# pyro completion for bash: eval "$(pyro completion bash)"
_pyro() {
  local cur=\${COMP_WORDS[COMP_CWORD]} at= valued= ids= offered= count=0 word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [ "$word" = '=' ]; then
      [ $((i + 1)) -lt $COMP_CWORD ] && { i=$((i + 1)); valued=; }
      continue
    fi
    if [ -n "$valued" ]; then
      valued=
      continue
    fi
    case $word in
      --) return ;;
      ${[...valued.keys()].join('|')}) valued=$word ;;
      -*) ;;
      *) case "$at $word" in ${all.filter(({ path }) => path).map(({ path }) => `' ${path}'`).join('|')}) at="$at $word" ;; *) count=$((count + 1)) ;; esac ;;
    esac
  done
  [ "$cur" = '=' ] && cur=
  case $valued in
    '') ;;
${chosen.map(([flag, choices]) => `    ${flag}) offered='${choices.join(' ')}' ;;`).join('\n')}
    *) return ;;
  esac
  [ -n "$valued" ] || case $at in
${all.map(({ path, words, takesWorkspace }) => `    '${path && ` ${path}`}') offered='${words.join(' ')}'${takesWorkspace ? ' ids=yes' : ''} ;;`).join('\n')}
  esac
  if [ -n "$ids" ] && [ $count -eq 0 ]; then
    case $cur in -*) ;; *) offered=$("\${COMP_WORDS[0]}" workspace list --ids 2>/dev/null | cut -f1) ;; esac
  fi
  COMPREPLY=($(compgen -W "$offered" -- "$cur"))
}
complete -o default -F _pyro pyro
`
}

function zsh(table: CliTable): string {
  return `# pyro completion for zsh: eval "$(pyro completion zsh)"
autoload -U +X bashcompinit && bashcompinit
${bash(table)}`
}

function fish(table: CliTable): string {
  const all = places(table)
  const valued = valuedFlags(table)
  const lines = all.flatMap(({ path, words, takesWorkspace }) => {
    const children = words.filter((word) => !word.startsWith('-'))
    const seen = path.split(' ').filter(Boolean).map((word) => `__fish_seen_subcommand_from ${word}`)
    const condition = [...seen, ...(path && children.length > 0 ? [`not __fish_seen_subcommand_from ${children.join(' ')}`] : [])].join('; and ') || '__fish_use_subcommand'
    const offers = words.map((word) => (word.startsWith('--') ? `-l ${word.slice(2)}${values(word, valued)}` : `-f -a ${word}`))
    return [...offers, ...(takesWorkspace ? [`-f -a '(pyro workspace list --ids 2>/dev/null)'`] : [])].map((offer) => `complete -c pyro -n '${condition}' ${offer}`)
  })
  return `# pyro completion for fish: pyro completion fish | source\n${lines.join('\n')}\n`
}

function values(flag: string, valued: Map<string, string[]>): string {
  const choices = valued.get(flag)
  if (!choices) return ''
  return choices.length > 0 ? ` -x -a '${choices.join(' ')}'` : ' -r'
}

const scripts: Record<Shell, (table: CliTable) => string> = { bash, zsh, fish }

/** A script for the shell to evaluate. */
export function completionScript(shell: Shell, table: CliTable): string {
  return scripts[shell](table)
}
