import { PyroError } from '../contract/errors.ts'
import type { CommandSpec, OptionSpec } from './spec.ts'

/** A command line, understood. */
export interface Invocation {
  spec: CommandSpec
  /** By flag, as it was given; what was not given is left out. */
  options: ReadonlyMap<string, unknown>
  /** What did not come from an option, by field. */
  words: Record<string, unknown>
}

/** What the operation gets; fields that were not given are left out. Refuses values of the wrong form and flags that exclude one another. */
export function inputOf({ spec, options, words }: Invocation): Record<string, unknown> {
  for (const group of spec.exclusiveAtRun ?? []) {
    const given = group.filter((flag) => options.has(flag))
    if (given.length > 1) throw refused(spec, `${given.join(' and ')} cannot be used together`)
  }
  const input: Record<string, unknown> = { ...words }
  for (const option of spec.options) {
    if (option.field === null || !options.has(option.flag)) continue
    const value = options.get(option.flag)
    input[option.field] = option.type === 'pairs' ? pairs(spec, option, value as string[]) : value
  }
  return input
}

/** The CLI's own flags among those that were given. */
export function ownFlags({ spec, options }: Invocation): ReadonlySet<string> {
  return new Set(spec.options.filter(({ field, flag }) => field === null && options.has(flag)).map(({ flag }) => flag))
}

/** Of a key that was given twice the last value counts, as of any flag. A refusal leaves the value out: it may be nobody's to read. */
function pairs(spec: CommandSpec, { flag, placeholder = 'KEY=VALUE', emptyValues = false }: OptionSpec, given: string[]): Record<string, string> {
  const entries = given.map((text): [string, string] => {
    const split = text.indexOf('=')
    const value = text.slice(split + 1)
    if (split < 1 || (value === '' && !emptyValues)) throw refused(spec, `${flag} ${JSON.stringify(text.slice(0, split + 1) || text)} is not of the form ${placeholder}`)
    return [text.slice(0, split), value]
  })
  return Object.fromEntries(entries)
}

function refused({ path }: CommandSpec, message: string): PyroError {
  return new PyroError('invalid_argument', message, { hint: `pyro ${path.join(' ')} --help shows what it takes` })
}
