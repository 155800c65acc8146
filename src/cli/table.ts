import { z } from 'zod'
import { doctor } from '../contract/doctor.ts'
import { inspectEnvironment, listEnvironments, pruneEnvironments, pullEnvironment } from '../contract/environments.ts'
import type { Operation } from '../contract/operation.ts'
import { run } from '../contract/run.ts'
import type { CliTable, CommandSpec, OptionSpec } from './spec.ts'

/** How an operation becomes a command; what is not said here the contract says. */
interface Exposure {
  path: string[]
  operation: Operation
  positionals?: { name: string; field: string }[]
  rest?: { name: string; field: string }
  examples: string[]
}

const exposures: Exposure[] = [
  {
    path: ['run'],
    operation: run,
    positionals: [{ name: 'ENVIRONMENT', field: 'environment' }],
    rest: { name: 'ARG', field: 'command' },
    examples: [
      'pyro run debian:12 -- git --version',
      'pyro run debian:12-build --seed-path . --timeout-seconds 600 -- make test',
      "pyro run debian:12 --json -- sh -lc 'uname -r; id'",
    ],
  },
  { path: ['env', 'list'], operation: listEnvironments, examples: ['pyro env list'] },
  { path: ['env', 'pull'], operation: pullEnvironment, positionals: [{ name: 'ENVIRONMENT', field: 'environment' }], examples: ['pyro env pull debian:12'] },
  { path: ['env', 'inspect'], operation: inspectEnvironment, positionals: [{ name: 'ENVIRONMENT', field: 'environment' }], examples: ['pyro env inspect debian:12 --json'] },
  { path: ['env', 'prune'], operation: pruneEnvironments, examples: ['pyro env prune'] },
  { path: ['doctor'], operation: doctor, examples: ['pyro doctor', 'pyro doctor --environment debian:12-build --json'] },
]

const groups: CliTable['groups'] = [
  {
    path: ['env'],
    summary: 'Environments: the Linux images that guests run',
    notes: 'The first pull of an environment builds it from the signed Debian archive, on this machine.',
  },
]

const json: OptionSpec = { flag: '--json', field: null, type: 'boolean', description: 'Print one JSON document', default: false }

interface FieldSchema {
  type?: string
  description?: string
  default?: string | number | boolean
  enum?: string[]
}

/** Everything the CLI shows and parses, as plain data: computed when the CLI is bundled. */
export function cliTable(): CliTable {
  return { commands: exposures.map(commandOf), groups }
}

function commandOf({ path, operation, positionals = [], rest, examples }: Exposure): CommandSpec {
  const { properties = {}, required = [] } = z.toJSONSchema(operation.input, { io: 'input' }) as { properties?: Record<string, FieldSchema>; required?: string[] }
  const taken = new Set([...positionals.map(({ field }) => field), rest?.field])
  return {
    path,
    summary: operation.summary,
    positionals: positionals.map(({ name, field }) => ({
      name,
      field,
      description: properties[field]?.description ?? '',
      required: required.includes(field),
      default: properties[field]?.default as string | undefined,
    })),
    rest,
    options: [...Object.entries(properties).filter(([field]) => !taken.has(field)).map(optionOf), json],
    examples,
  }
}

function optionOf([field, schema]: [string, FieldSchema]): OptionSpec {
  const types: Record<string, OptionSpec['type']> = { boolean: 'boolean', integer: 'integer', string: 'string' }
  const type = types[schema.type ?? '']
  if (!type) throw new Error(`no flag can carry ${field}: ${JSON.stringify(schema)}`)
  return { flag: `--${field.replaceAll('_', '-')}`, field, type, description: schema.description ?? '', default: schema.default, choices: schema.enum }
}
