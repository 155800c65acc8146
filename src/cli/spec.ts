/** What the parser and the help know of one option; the values come from the contract. */
export interface OptionSpec {
  /** Such as `--vcpu-count`. */
  flag: string
  /** The input field it fills; `null` for one that only steers output. */
  field: string | null
  type: 'boolean' | 'integer' | 'string'
  description: string
  default?: string | number | boolean | undefined
  choices?: string[] | undefined
}

export interface PositionalSpec {
  /** As shown in usage lines, such as ENVIRONMENT. */
  name: string
  field: string
  description: string
  required: boolean
  default?: string | undefined
}

export interface CommandSpec {
  /** Words after `pyro`. */
  path: string[]
  summary: string
  positionals: PositionalSpec[]
  /** Takes a guest command: what follows `--`, put into this field. */
  rest?: { name: string; field: string } | undefined
  options: OptionSpec[]
  /** Complete command lines. */
  examples: string[]
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
