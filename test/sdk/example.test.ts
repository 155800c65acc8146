import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { collect, pyro } from '../behaviours/command-line.ts'
import { temporaryHome } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'

const home = temporaryHome({ PYRO_WARM_FORKS: '0' })
home.machines.defer(async () => void (await pyro(home, ['daemon', 'stop', '--machines'])))

verifies('sdk.methods', 'the example runs a command on a project in a guest, passes its output and exit code on, and leaves no workspace', async () => {
  const project = join(home.directory, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'greeting'), 'hello from the project\n')
  const example = join(import.meta.dirname, '../../examples/workspace.ts')
  const { code, stdout, stderr } = await collect(spawn(process.execPath, [example, project, 'cat greeting; echo $CI >&2; exit 7'], { env: home.env }))
  assert.deepEqual([code, stdout.toString()], [7, 'hello from the project\n'], stderr.toString())
  assert.match(stderr.toString(), /^1\nexit code 7 after \d+ ms\n$/)
  assert.equal((await pyro(home, ['workspace', 'list'])).stdout.toString(), 'No workspaces.\n')
})
