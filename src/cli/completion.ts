import type { CliTable } from './spec.ts'

export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

/** What may follow each command line that names a group or a command. */
function candidates({ commands, groups }: CliTable): Map<string, string[]> {
  const next = new Map<string, string[]>()
  const add = (path: readonly string[], ...words: string[]) => {
    const key = path.join(' ')
    next.set(key, [...new Set([...(next.get(key) ?? []), ...words])])
  }
  add([], '--version', '--help', 'completion')
  add(['completion'], ...shells)
  for (const { path } of [...groups, ...commands]) add(path.slice(0, -1), path.at(-1) as string)
  for (const { path, options } of commands) add(path, ...options.map(({ flag }) => flag), '--help')
  return next
}

const scripts: Record<Shell, (table: CliTable) => string> = {
  bash: (table) => `# pyro completion for bash: eval "$(pyro completion bash)"
_pyro() {
  local word path="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    [ "$word" = -- ] && return
    case $word in -*) ;; *) case "$path $word" in ${paths(table)
      .map((path) => `' ${path}'`)
      .join('|')}) path="$path $word" ;; esac ;; esac
  done
  case $path in
${[...candidates(table)].map(([path, words]) => `    '${path && ` ${path}`}') COMPREPLY=($(compgen -W '${words.join(' ')}' -- "\${COMP_WORDS[COMP_CWORD]}")) ;;`).join('\n')}
  esac
}
complete -o default -F _pyro pyro
`,
  zsh: (table) => `# pyro completion for zsh: eval "$(pyro completion zsh)"
autoload -U +X bashcompinit && bashcompinit
${scripts.bash(table)}`,
  fish: (table) => `# pyro completion for fish: pyro completion fish | source
${[...candidates(table)]
  .flatMap(([path, words]) => {
    const condition = path ? `__fish_seen_subcommand_from ${path.split(' ').at(-1)}` : '__fish_use_subcommand'
    return words.map((word) => `complete -c pyro -n '${condition}' ${word.startsWith('--') ? `-l ${word.slice(2)}` : `-f -a ${word}`}`)
  })
  .join('\n')}
`,
}

function paths(table: CliTable): string[] {
  return [...candidates(table).keys()].filter(Boolean)
}

/** A script for the shell to evaluate. */
export function completionScript(shell: Shell, table: CliTable): string {
  return scripts[shell](table)
}
