import assert from 'node:assert/strict'
import { answers } from '../../src/cli/answers.ts'
import type { OptionSpec } from '../../src/cli/spec.ts'
import { cliTable } from '../../src/cli/table.ts'
import { verifies } from '../behaviours/promises.ts'
import { agreed, type AgreedFlag } from './agreed-commands.ts'

/** Flags that go further than the contract, on purpose. */
const beyond: Record<string, string[]> = {
  run: ['--seed-path'],
  'workspace create': ['--exclude'],
  'workspace list': ['--ids'],
  'workspace exec': ['--cwd', '--env', '--interactive'],
  'workspace logs': ['--sequence', '--offset'],
}

/** Flags of the contract that come with what they are about: secrets. */
const later: Record<string, string[]> = {
  'workspace create': ['--secret', '--secret-file'],
  'workspace exec': ['--secret-env'],
}

const table = new Map(cliTable().commands.map((spec) => [spec.path.join(' '), spec]))
const helps = answers()

const typeOf: Record<OptionSpec['type'], Pick<AgreedFlag, 'type' | 'repeatable'>> = {
  boolean: { type: 'boolean' },
  integer: { type: 'integer' },
  string: { type: 'string' },
  list: { type: 'string', repeatable: true },
  pairs: { type: 'string', repeatable: true },
}

function asAgreed({ flag, type, default: fallback, choices, placeholder }: OptionSpec, { metavar, choices: agreedChoices }: AgreedFlag): AgreedFlag {
  return {
    name: flag,
    ...typeOf[type],
    ...(fallback === undefined || fallback === false ? {} : { default: fallback as string | number }),
    // A flag without choices may have some here: what else it could be given would be refused anyway.
    ...(choices && agreedChoices ? { choices } : {}),
    ...(metavar && placeholder ? { metavar: placeholder } : {}),
  }
}

for (const command of agreed) {
  const { path } = command
  verifies('cli-workspace.contract', `${path}: flags, defaults, choices and exclusions`, () => {
    const spec = table.get(path)
    assert.ok(spec, `there is no command ${path}`)
    const options = new Map(spec.options.map((option) => [option.flag, option]))
    for (const name of later[path] ?? []) assert.ok(!options.has(name), `${name} is there: it need not be excused`)
    const now = command.flags.filter(({ name }) => !later[path]?.includes(name))
    assert.deepEqual([...options.keys()].sort(), [...now.map(({ name }) => name), ...(beyond[path] ?? [])].sort())
    for (const flag of now) assert.deepEqual(asAgreed(options.get(flag.name) as OptionSpec, flag), flag)
    assert.deepEqual(
      spec.positionals.map(({ name, required, default: fallback }) => ({ name, required, ...(fallback === undefined ? {} : { default: fallback }) })),
      command.positionals,
    )
    assert.equal(spec.rest?.name, command.rest ? 'ARG' : undefined)
    const hidden = new Set(spec.options.filter((option) => option.hidden).map(({ flag }) => flag))
    const exclusive = (spec.exclusive ?? []).filter((group) => !group.some((flag) => hidden.has(flag)))
    assert.deepEqual(exclusive, command.exclusive ?? [])
    assert.deepEqual(spec.exclusiveAtRun ?? [], command.exclusiveAtRun ?? [])
  })

  verifies('cli-workspace.contract', `${path} --help shows every flag and an example`, () => {
    const help = helps[`${path} --help`] ?? ''
    for (const { flag, short, hidden } of table.get(path)?.options ?? []) {
      assert.equal(new RegExp(`^ +${short ? `${short}, ` : ''}${flag}\\b`, 'm').test(help), !hidden, flag)
    }
    assert.match(help, new RegExp(`\nExamples?:\n(.*\n)*.*pyro ${path}`))
  })
}
