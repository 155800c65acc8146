/** What the parser and the help know of one option; the values come from the contract. */
export interface OptionSpec {
  /** Such as `--vcpu-count`. */
  flag: string
  /** Such as `-i`. */
  short?: string | undefined
  /** The input field it fills; `null` for one of the CLI's own, such as `--json`. */
  field: string | null
  /** A `list` may be given again and again; `pairs` too, and its values are KEY=VALUE. */
  type: 'boolean' | 'integer' | 'string' | 'list' | 'pairs'
  /** What stands for the value in usage lines and errors, such as `KEY=VALUE`. */
  placeholder?: string | undefined
  /** Of `pairs`: `KEY=` is well formed. */
  emptyValues?: boolean | undefined
  description: string
  default?: string | number | boolean | undefined
  choices?: string[] | undefined
  /** Neither in the help nor offered by completion. */
  hidden?: boolean | undefined
}

export interface PositionalSpec {
  /** As shown in usage lines, such as ENVIRONMENT. */
  name: string
  field: string
  description: string
  required: boolean
  default?: string | undefined
}

/** What flags have to do with one another. */
export interface FlagRules {
  /** At most one of each group; a usage fault otherwise. */
  exclusive?: string[][] | undefined
  /** At most one of each group; a refused value otherwise. */
  exclusiveAtRun?: string[][] | undefined
}

export interface CommandSpec extends FlagRules {
  /** Words after `pyro`. */
  path: string[]
  summary: string
  positionals: PositionalSpec[]
  /** Takes a guest command: what follows `--`, put into this field. */
  rest?: { name: string; field: string } | undefined
  options: OptionSpec[]
  /** Complete command lines. */
  examples: string[]
  /** For pyro's own use: neither in the help nor offered by completion. */
  hidden?: boolean | undefined
}

export interface GroupSpec {
  path: string[]
  summary: string
  notes?: string | undefined
}

export interface CliTable {
  commands: CommandSpec[]
  groups: GroupSpec[]
}
