import assert from 'node:assert/strict'
import { inputOf, ownFlags } from '../../src/cli/input.ts'
import { parse } from '../../src/cli/parse.ts'
import { cliTable } from '../../src/cli/table.ts'
import { verifies } from '../behaviours/promises.ts'

const table = cliTable()

function understood(...argv: string[]) {
  const parsed = parse(table, argv)
  assert.ok('options' in parsed, `refused: ${argv.join(' ')}`)
  return { input: inputOf(parsed), own: [...ownFlags(parsed)] }
}

const input = (...argv: string[]) => understood(...argv).input

const id = '0123456789ab'

verifies('cli-workspace.positions', 'flags of exec count at every place before the first --', () => {
  const flags = [['--timeout-seconds', '5'], ['--cwd=src'], ['--env', 'A=1'], ['-i'], ['--json']]
  const expected = { input: { workspace_id: id, command: 'cat --json', timeout_seconds: 5, cwd: 'src', env: { A: '1' }, interactive: true }, own: ['--json'] }
  for (let before = 0; before <= flags.length; before++) {
    const argv = ['workspace', 'exec', ...flags.slice(0, before).flat(), id, ...flags.slice(before).flat(), '--', 'cat', '--json']
    assert.deepEqual(understood(...argv), expected)
  }
})

verifies('cli-workspace.positions', 'only the first -- divides, and all behind it is the command', () => {
  assert.deepEqual(input('workspace', 'exec', id, '--', '--', '--json', '-i'), { workspace_id: id, command: '-- --json -i' })
  assert.deepEqual(input('workspace', 'exec', id, '--'), { workspace_id: id, command: '' })
})

verifies('cli-workspace.positions', 'without -- the remaining words are the command, up to one that looks like a flag', () => {
  assert.deepEqual(input('workspace', 'exec', id, 'echo', '-i', 'a b'), { workspace_id: id, command: "echo 'a b'", interactive: true })
  assert.deepEqual(parse(table, ['workspace', 'exec', id, 'ls', '-l']), { exitCode: 2 })
})

verifies('cli-workspace.positions', 'a command that takes no guest command refuses one', () => {
  assert.deepEqual(parse(table, ['workspace', 'status', id, '--', 'true']), { exitCode: 2 })
})

verifies('cli-workspace.pairs', 'labels and variables gather, split at the first =, and the last value of a key counts', () => {
  assert.deepEqual(input('workspace', 'create', 'debian:12', '--label', 'a=1', '--label=b=x=y', '--label', 'a=2', '--seed-path', '.', '--exclude', '*.o', '--exclude', '-x'), {
    environment: 'debian:12',
    labels: { a: '2', b: 'x=y' },
    seed_path: '.',
    exclude: ['*.o', '-x'],
  })
  assert.deepEqual(input('workspace', 'update', id, '--clear-label', 'a', '--clear-label', 'b'), { workspace_id: id, clear_labels: ['a', 'b'] })
  assert.deepEqual(input('workspace', 'exec', id, '--env', 'EMPTY=', '--env', '__proto__=x', '--', 'env')['env'], Object.fromEntries([['EMPTY', ''], ['__proto__', 'x']]))
})

const malformed = (form: string, ...argv: string[]) => () => assert.throws(() => input(...argv), { code: 'invalid_argument', message: new RegExp(`is not of the form ${form}$`) })

for (const text of ['', '=', 'key', 'key=', '=value']) {
  verifies('cli-workspace.pairs', `--label '${text}' is refused with its form`, malformed('KEY=VALUE', 'workspace', 'create', 'debian:12', '--label', text))
}

for (const text of ['', 'NAME', '=value']) {
  verifies('cli-workspace.pairs', `--env '${text}' is refused with its form`, malformed('NAME=VALUE', 'workspace', 'exec', id, '--env', text, '--', 'true'))
}

verifies('cli-workspace.pairs', 'a refusal does not repeat a value', () => {
  assert.throws(() => input('workspace', 'exec', id, '--env', '=hunter2', '--', 'true'), (error: Error) => !error.message.includes('hunter2'))
})

verifies('cli-workspace.exclusions', '--json with --id-only is a usage fault in any order', () => {
  for (const pair of [['--json', '--id-only'], ['--id-only', '--json']]) assert.deepEqual(parse(table, ['workspace', 'create', ...pair, 'debian:12']), { exitCode: 2 })
})

verifies('cli-workspace.exclusions', '--name with --clear-name is refused', () => {
  assert.throws(() => input('workspace', 'update', id, '--name', 'x', '--clear-name'), { code: 'invalid_argument', message: '--name and --clear-name cannot be used together' })
})
