import { z } from 'zod'
import type { Operation } from '../contract/operation.ts'
import { type Exposure, exposures, groups } from './exposures.ts'
import type { CliTable, CommandSpec, OptionSpec } from './spec.ts'

const json: OptionSpec = { flag: '--json', field: null, type: 'boolean', description: 'Print one JSON document', default: false }

/** Everything the CLI shows and parses, as plain data: computed when the CLI is bundled. */
export function cliTable(): CliTable {
  return { commands: exposures.map(commandOf), groups }
}

interface FieldSchema {
  type?: string
  description?: string
  default?: string | number | boolean
  enum?: string[]
  minLength?: number
  additionalProperties?: FieldSchema
  anyOf?: FieldSchema[]
}

function commandOf({ path, operation, positionals = [], rest, flags = {}, own = [], examples, ...rules }: Exposure): CommandSpec {
  const { properties, required } = fieldsOf(operation)
  const taken = new Set([...positionals.map(({ field }) => field), rest?.field])
  return {
    path,
    summary: operation.summary,
    positionals: positionals.map(({ name, field }) => ({
      name,
      field,
      description: properties[field]?.description ?? '',
      required: required.has(field),
      default: properties[field]?.default as string | undefined,
    })),
    rest,
    options: [
      ...Object.entries(properties)
        .filter(([field]) => !taken.has(field))
        .map(([field, schema]) => ({ ...optionOf(field, schema), ...flags[field] })),
      json,
      ...own,
    ],
    examples,
    ...rules,
  }
}

function fieldsOf({ input }: Operation): { properties: Record<string, FieldSchema>; required: Set<string> } {
  const schema = z.toJSONSchema(input, { io: 'input' }) as { properties?: Record<string, FieldSchema>; required?: string[] }
  const properties = Object.entries(schema.properties ?? {}).map(([field, found]): [string, FieldSchema] => {
    const given = givenForm(found)
    // A default behind a transformation is not in the schema.
    const fallback = given.default ?? (input.shape[field] as z.ZodType).safeParse(undefined).data
    return [field, typeof fallback === 'string' ? { ...given, default: fallback } : given]
  })
  return { properties: Object.fromEntries(properties), required: new Set(schema.required) }
}

/** A flag is left out rather than given as null. */
function givenForm({ anyOf, ...outer }: FieldSchema): FieldSchema {
  const inner = anyOf?.filter(({ type }) => type !== 'null') ?? []
  return inner.length === 1 ? { ...inner[0], ...outer } : outer
}

const types: Record<string, OptionSpec['type']> = { boolean: 'boolean', integer: 'integer', string: 'string', array: 'list', object: 'pairs' }

function optionOf(field: string, schema: FieldSchema): OptionSpec {
  const type = types[schema.type ?? '']
  if (!type) throw new Error(`no flag can carry ${field}: ${JSON.stringify(schema)}`)
  return {
    flag: `--${field.replaceAll('_', '-')}`,
    field,
    type,
    description: schema.description ?? '',
    default: schema.default,
    choices: schema.enum,
    emptyValues: type === 'pairs' ? (schema.additionalProperties?.minLength ?? 0) === 0 : undefined,
  }
}
