import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { OutputOf } from '../../src/contract/operation.ts'
import { deleteWorkspace, listWorkspaces, statusWorkspace } from '../../src/contract/workspaces.ts'
import { pyro } from '../behaviours/command-line.ts'
import { environment } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { newWorkspace, pyroJson, workspaceHome } from './workspace-home.ts'

const home = workspaceHome()

type Workspace = OutputOf<typeof statusWorkspace>

async function lines(...args: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await pyro(home, args)
  assert.equal(code, 0, stderr.toString())
  return stdout.toString().trimEnd().split('\n')
}

async function refused(code: string, message: RegExp, hint: RegExp, ...args: string[]): Promise<void> {
  const human = await pyro(home, args)
  assert.deepEqual([human.code, human.stdout.toString()], [1, ''])
  const [error = '', advice = '', ...rest] = human.stderr.toString().split('\n')
  assert.match(error, /^\[error\] /)
  assert.match(error, message)
  assert.match(advice, /^\[hint\] /)
  assert.match(advice, hint)
  assert.deepEqual(rest, [''])
  const json = await pyro(home, args.toSpliced(2, 0, '--json'))
  const told = JSON.parse(json.stdout.toString()) as Record<string, unknown>
  assert.deepEqual([json.code, json.stderr.toString(), told['ok'], told['code']], [1, '', false, code])
}

verifies('cli-workspace.life', 'with no workspace list says so', async () => {
  assert.deepEqual(await lines('workspace', 'list'), ['No workspaces.'])
  assert.deepEqual(await pyroJson(home, 'workspace', 'list'), { count: 0, workspaces: [] })
})

verifies(['cli-workspace.life', 'cli-workspace.stopped'], 'a workspace is created, shown, renamed, listed, stopped, started and deleted', async () => {
  const created = await lines('workspace', 'create', environment, '--name', 'first', '--label', 'b=2', '--label', 'a=1')
  const [, id = ''] = /^Workspace ID: ([0-9a-f]{12})$/.exec(created[0] ?? '') ?? []
  assert.ok(id, created.join('\n'))
  for (const line of ['Name: first', 'Labels: a=1, b=2', `Environment: ${environment}`, 'State: started', 'Workspace seed: empty', 'Resources: 1 vCPU / 1024 MiB', 'Command count: 0']) {
    assert.ok(created.includes(line), `${line}\n${created.join('\n')}`)
  }

  assert.equal((await pyro(home, ['workspace', 'exec', id, '--', 'sh', '-c', 'echo kept > file; exit 3'])).code, 3)
  const updated = await lines('workspace', 'update', id, '--clear-name', '--label', 'c=3', '--clear-label', 'a')
  assert.ok(updated.includes('Labels: b=2, c=3') && !updated.some((line) => line.startsWith('Name:')), updated.join('\n'))
  assert.ok(updated.includes("Last command: sh -c 'echo kept > file; exit 3' (exit_code=3)"), updated.join('\n'))
  const status = statusWorkspace.output.parse(await pyroJson(home, 'workspace', 'status', id))
  assert.deepEqual([status.workspace_id, status.name, status.labels, status.state], [id, null, { b: '2', c: '3' }, 'started'])

  const [listed, ...others] = await lines('workspace', 'list')
  assert.match(listed ?? '', new RegExp(`^\\[workspace\\] workspace_id=${id} state=started environment=${environment} labels=b=2,c=3 last_activity_at='.*(now|ago)\\)' expires_at='.*\\(in .*\\)' commands=1 services=0/0$`))
  assert.deepEqual(others, [])
  listWorkspaces.output.parse(await pyroJson(home, 'workspace', 'list'))

  const stopped = await lines('workspace', 'stop', id)
  assert.equal(stopped[0], `Stopped workspace ID: ${id}`)
  assert.ok(stopped.includes('State: stopped'), stopped.join('\n'))
  await refused('wrong_state', new RegExp(`${id}.*must be in 'started' state`), new RegExp(`pyro workspace start ${id}`), 'workspace', 'exec', id, '--', 'true')

  assert.equal((await lines('workspace', 'start', id))[0], `Started workspace ID: ${id}`)
  assert.equal((await pyro(home, ['workspace', 'exec', id, '--', 'cat', 'file'])).stdout.toString(), 'kept\n')
  assert.deepEqual(deleteWorkspace.output.parse(await pyroJson(home, 'workspace', 'delete', id)), { workspace_id: id, deleted: true, reason: 'explicit_delete' })
  await refused('not_found', new RegExp(`workspace '${id}' does not exist`), /pyro workspace list/, 'workspace', 'status', id)
})

verifies('cli-workspace.life', 'delete says what it deleted', async () => {
  const id = await newWorkspace(home)
  assert.deepEqual(await lines('workspace', 'delete', id), [`Deleted workspace: ${id}`])
})

verifies('cli-workspace.seed', 'a seed path counts from where pyro was called, and what is excluded is not in it', async () => {
  const project = join(home.directory, 'project')
  mkdirSync(join(project, 'src/cache'), { recursive: true })
  for (const name of ['src/a.txt', 'src/a.log', 'src/cache/x']) writeFileSync(join(project, name), name)
  const { code, stdout, stderr } = await pyro(home, ['workspace', 'create', environment, '--json', '--seed-path', 'src', '--exclude', '*.log', '--exclude', 'cache/'], { cwd: project })
  assert.equal(code, 0, stdout.toString() + stderr.toString())
  const { workspace_id: id, workspace_seed: seed } = JSON.parse(stdout.toString()) as Workspace
  assert.deepEqual([seed.mode, seed.seed_path], ['directory', join(project, 'src')])
  assert.equal((await pyro(home, ['workspace', 'exec', id, '--', 'ls', '-A'])).stdout.toString(), 'a.txt\n')
})

for (const [title, args, code, message] of [
  ['a life too short', ['create', environment, '--ttl-seconds', '59'], 'invalid_argument', /ttl_seconds must be between 60 and/],
  ['an unknown environment', ['create', 'debian:99'], 'unknown_environment', /unknown environment.*debian:99/],
  ['a seed that is not there', ['create', environment, '--seed-path', '/nowhere'], 'seed_invalid', /\/nowhere does not exist/],
  ['a label without a value', ['create', environment, '--label', 'key'], 'invalid_argument', /KEY=VALUE/],
  ['a blank name', ['create', environment, '--name', ' '], 'invalid_argument', /name must not be empty/],
  ['a name given and taken', ['update', '0123456789ab', '--name', 'x', '--clear-name'], 'invalid_argument', /cannot be used together/],
  ['a blank label to clear', ['update', '0123456789ab', '--clear-label', ''], 'invalid_argument', /must not be empty/],
  ['no command', ['exec', '0123456789ab'], 'invalid_argument', /a command is required after --/],
  ['a directory outside', ['exec', '0123456789ab', '--cwd', '/etc', '--', 'true'], 'invalid_argument', /cwd must stay inside \/workspace/],
  ['a negative time-out', ['exec', '0123456789ab', '--timeout-seconds=-1', '--', 'true'], 'invalid_argument', /timeout_seconds must be positive/],
  ['a malformed variable name', ['exec', '0123456789ab', '--env', '1A=x', '--', 'true'], 'invalid_argument', /1A/],
  ['an unknown workspace', ['exec', '0123456789ab', '--', 'true'], 'not_found', /workspace '0123456789ab' does not exist/],
] as const) {
  verifies(['errors.values', 'errors.form'], `workspace ${args[0]} with ${title} is refused`, async () => {
    await refused(code, message, /./, 'workspace', ...args)
  })
}
