import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OutputOf } from '../../src/contract/operation.ts'
import { logsWorkspace } from '../../src/contract/workspaces.ts'
import { pyro, startPyro } from '../behaviours/command-line.ts'
import { verifies } from '../behaviours/promises.ts'
import { newWorkspace, pyroJson, workspaceHome } from './workspace-home.ts'

const home = workspaceHome()
let id = ''

test.before(async () => {
  id = await newWorkspace(home)
})

const exec = (...words: string[]) => pyro(home, ['workspace', 'exec', id, '--', ...words])
const logs = (...flags: string[]) => pyro(home, ['workspace', 'logs', id, ...flags])

verifies('cli-workspace.logs', 'a workspace in which nothing ran has no logs', async () => {
  assert.equal((await logs()).stdout.toString(), 'No workspace logs found.\n')
})

verifies('cli-workspace.logs', 'each command has a line, its text and its output, in the order in which they began', async () => {
  await exec('sh', '-c', 'printf out; echo err >&2; exit 2')
  await pyro(home, ['workspace', 'exec', id, '--cwd', 'sub', '--', 'echo', 'two'])
  const { code, stdout, stderr } = await logs()
  assert.deepEqual([code, stderr.toString()], [0, 'err\n'])
  assert.match(
    stdout.toString(),
    /^#1 exit_code=2 duration_ms=\d+ cwd=\/workspace\n\$ sh -c 'printf out; echo err >&2; exit 2'\nout\n#2 exit_code=0 duration_ms=\d+ cwd=\/workspace\/sub\n\$ echo two\ntwo\n$/,
  )
  const result = logsWorkspace.output.parse(await pyroJson(home, 'workspace', 'logs', id))
  assert.deepEqual(
    result.entries.map(({ sequence, command, stdout, stderr, state }) => ({ sequence, command, stdout, stderr, state })),
    [
      { sequence: 1, command: "sh -c 'printf out; echo err >&2; exit 2'", stdout: 'out', stderr: 'err\n', state: 'ended' },
      { sequence: 2, command: 'echo two', stdout: 'two\n', stderr: '', state: 'ended' },
    ],
  )
})

verifies(['cli-workspace.logs', 'cli-workspace.escaped'], 'a command that holds control characters does not send them to the terminal', async () => {
  await exec('echo', '\x1b[2J')
  assert.match((await logs()).stdout.toString(), /^\$ echo '\\e\[2J'$/m)
})

verifies('cli-workspace.logs', 'a running command is shown as such, with its output so far', async () => {
  const child = startPyro(home, ['workspace', 'exec', id, '--timeout-seconds', '0', '--', 'sh', '-c', 'echo up; sleep 1000'])
  await new Promise((resolve) => child.stdout?.once('data', resolve))
  const { stdout } = await logs()
  assert.match(stdout.toString(), /^#\d+ exit_code=none duration_ms=\d+ cwd=\/workspace state=running\n\$ sh -c 'echo up; sleep 1000'\nup$/m)
  const ended = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGINT')
  assert.equal(await ended, 130)
})

verifies('cli-workspace.logs', 'what does not fit in the list is read with --sequence and --offset', async () => {
  const whole = Array.from({ length: 300_000 }, (_, i) => `${i + 1}\n`).join('')
  await exec('seq', '300000')
  const listed = await logs()
  const [, sequence = ''] = /#(\d+) wrote \d+ bytes to stdout, 0 to stderr: pyro workspace logs \w+ --sequence \1 shows more\n$/.exec(listed.stderr.toString()) ?? []
  assert.ok(sequence, listed.stderr.toString())
  const part = async (offset: number) => {
    const { entries } = await pyroJson<OutputOf<typeof logsWorkspace>>(home, 'workspace', 'logs', id, '--sequence', sequence, '--offset', String(offset))
    assert.equal(entries.length, 1)
    return entries[0]?.stdout ?? ''
  }
  assert.equal((await part(0)) + (await part(1024 ** 2)), whole)
  assert.equal(await part(whole.length - 7), '300000\n')
  const first = await logs('--sequence', sequence)
  assert.match(first.stderr.toString(), new RegExp(`pyro workspace logs ${id} --sequence ${sequence} --offset 1048576 goes on\n$`))
  const last = await logs('--sequence', sequence, '--offset', '1048576')
  assert.equal(last.stderr.toString(), '')
  assert.ok(last.stdout.toString().endsWith('\n300000\n'))
})

for (const [title, flags, code, message] of [
  ['an offset without a command', ['--offset', '1'], 'invalid_argument', /offset needs sequence/],
  ['a negative offset', ['--sequence', '1', '--offset=-1'], 'invalid_argument', /offset must not be negative/],
  ['a command that never was', ['--sequence', '999'], 'not_found', /command 999 of workspace '\w+' does not exist/],
] as const) {
  verifies(['cli-workspace.logs', 'errors.values'], `${title} is refused`, async () => {
    const { code: exitCode, stdout } = await logs('--json', ...flags)
    const told = JSON.parse(stdout.toString()) as { code: string; error: string }
    assert.deepEqual([exitCode, told.code], [1, code])
    assert.match(told.error, message)
  })
}
