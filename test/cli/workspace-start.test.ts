import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { pyro, pyroProgram } from '../behaviours/command-line.ts'
import { temporaryHome } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { workspaceHome } from './workspace-home.ts'

const home = temporaryHome()

const record = (id: string, fields: Record<string, unknown>) => {
  mkdirSync(join(home.engine.paths.workspaces, id), { recursive: true })
  writeFileSync(join(home.engine.paths.workspaces, id, 'record.json'), JSON.stringify({ layout: 1, id, ...fields }))
}

verifies('cli-workspace.completion', 'bash completes commands, flags, choices and the ids of workspaces, and no daemon starts', async () => {
  record('0123456789ab', { kind: 'workspace', name: 'bug hunt' })
  record('fedcba987654', { kind: 'workspace', name: null })
  record('aaaaaaaaaaaa', { kind: 'vm', name: null })
  mkdirSync(join(home.engine.paths.workspaces, 'bbbbbbbbbbbb'))
  const bin = join(home.directory, 'bin')
  mkdirSync(bin)
  symlinkSync(pyroProgram, join(bin, 'pyro'))
  const complete = async (...words: string[]) => {
    const script = `eval "$(pyro completion bash)"; COMP_WORDS=(pyro "$@"); COMP_CWORD=$#; _pyro; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout } = await promisify(execFile)('bash', ['-c', script, 'bash', ...words], { env: { ...home.env, PATH: `${bin}:${process.env['PATH']}` } })
    return stdout.split('\n').filter(Boolean).sort()
  }
  const ids = ['0123456789ab', 'fedcba987654']
  assert.deepEqual(await complete('workspace', 'st'), ['start', 'status', 'stop'])
  assert.deepEqual(await complete('workspace', 'exec', ''), ids)
  assert.deepEqual(await complete('workspace', 'exec', '--timeout-seconds', '5', 'fe'), ['fedcba987654'])
  assert.deepEqual(await complete('workspace', 'exec', '--timeout-seconds', '=', '5', ''), ids)
  assert.deepEqual(await complete('workspace', 'exec', 'fedcba987654', '--t'), ['--timeout-seconds'])
  assert.deepEqual(await complete('workspace', 'exec', 'fedcba987654', '--', ''), [])
  assert.deepEqual(await complete('workspace', 'create', '--network-policy', 'e'), ['egress', 'egress+published-ports'])
  assert.deepEqual(await complete('workspace', 'list', '--'), ['--help', '--json'])
  assert.equal(existsSync(home.engine.paths.daemonLog), false)
  assert.equal(existsSync(home.engine.paths.daemonSocket), false)
})

verifies('cli-workspace.completion', 'without workspaces there are no ids, and no error', async () => {
  const { code, stdout, stderr } = await pyro({ env: { ...home.env, PYRO_BASE_DIR: join(home.directory, 'none') } }, ['workspace', 'list', '--ids'])
  assert.deepEqual([code, stdout.toString(), stderr.toString()], [0, '', ''])
})

const running = workspaceHome()

verifies('cli-workspace.light', 'an exec loads no schemas, no engine and no client of the agent', async () => {
  const watch = join(running.directory, 'watch.mjs')
  const seen = join(running.directory, 'loaded')
  writeFileSync(
    watch,
    `import { registerHooks } from 'node:module'
import { appendFileSync } from 'node:fs'
registerHooks({ load(url, context, next) { if (url.startsWith('file:')) appendFileSync(${JSON.stringify(seen)}, new URL(url).pathname + '\\n'); return next(url, context) } })`,
  )
  // Only the command itself is watched, not the daemon that the call before it starts.
  assert.equal((await pyro(running, ['workspace', 'list'])).code, 0)
  const { code } = await pyro(running, ['workspace', 'exec', '0123456789ab', '--', 'true'], { env: { NODE_OPTIONS: `--import=${watch}` } })
  assert.equal(code, 1)
  const files = [...new Set(readFileSync(seen, 'utf8').trim().split('\n'))].filter((path) => path !== watch)
  assert.ok(files.length > 2, files.join('\n'))
  for (const path of files) assert.doesNotMatch(readFileSync(path, 'utf8'), /ZodObject|connect-protocol-version|squashfs/i, path)
})
