import assert from 'node:assert/strict'
import { verifies } from '../../behaviours/promises.ts'
import { until } from '../../behaviours/home.ts'
import { own } from '../../behaviours/workspaces.ts'

const { call, create, run, orchestrator } = await own({ PYRO_WARM_FORKS: '0' })
const id = await create()

verifies('workspace.exec', 'directory, variables and stdin are as asked for', async () => {
  const result = await call(
    'workspace_exec',
    { workspace_id: id, command: 'pwd; echo "$A-$B"; cat', cwd: 'deep/er', env: { A: 'x y', B: '$HOME' }, interactive: true },
    {
      stdin: (async function* () {
        yield Buffer.from('one ')
        yield Buffer.from('two')
      })(),
    },
  )
  assert.equal(result.stdout, '/workspace/deep/er\nx y-$HOME\none two')
  assert.equal(result.cwd, '/workspace/deep/er')
  assert.equal((await run(id, 'cat; echo end')).stdout, 'end\n', 'without stdin there is nothing to read')
})

verifies('workspace.exec', 'a megabyte of stdin arrives unchanged, and a command that does not read it ends all the same', async () => {
  const pieces = Array.from({ length: 16 }, (_, i) => Buffer.alloc(65536 + i, i))
  const stdin = async function* () {
    yield* pieces
  }
  const { stdout } = await call('workspace_exec', { workspace_id: id, command: 'sha256sum', interactive: true }, { stdin: stdin() })
  const { createHash } = await import('node:crypto')
  assert.equal(stdout.split(' ')[0], createHash('sha256').update(Buffer.concat(pieces)).digest('hex'))
  assert.equal((await call('workspace_exec', { workspace_id: id, command: 'echo done', interactive: true }, { stdin: stdin() })).stdout, 'done\n')
})

verifies('workspace.exec', 'a path outside of /workspace is refused', async () => {
  for (const cwd of ['/etc', '../up', '/workspace/../etc', ' ']) await assert.rejects(call('workspace_exec', { workspace_id: id, command: 'true', cwd }), { code: 'invalid_argument', message: /cwd must/ })
})

verifies('workspace.logged', 'a running command is in the logs with what it wrote so far, and stays there in full', async () => {
  let first: () => void
  const seen = new Promise<void>((resolve) => (first = resolve))
  const going = call('workspace_exec', { workspace_id: id, command: 'echo begun; while [ ! -e go ]; do sleep 0.02; done; rm go; echo over >&2; exit 3' }, { onOutput: () => first() })
  await seen
  const running = (await call('workspace_logs', { workspace_id: id })).entries.at(-1)
  assert.deepEqual([running?.state, running?.exit_code, running?.stdout], ['running', null, 'begun\n'])
  await run(id, 'touch go')
  const { exit_code, sequence } = await going
  assert.equal(exit_code, 3)
  const [entry] = (await call('workspace_logs', { workspace_id: id, sequence })).entries
  assert.deepEqual([entry?.state, entry?.exit_code, entry?.stdout, entry?.stderr], ['ended', 3, 'begun\n', 'over\n'])
})

verifies('workspace.logged', 'a large output is read in parts, and a result says what it leaves out', async () => {
  const { stdout, stdout_bytes, stdout_truncated, sequence } = await call('workspace_exec', { workspace_id: id, command: 'yes 0123456 | head -c 3000000' })
  assert.deepEqual([stdout.length, stdout_bytes, stdout_truncated], [1024 ** 2, 3_000_000, true])
  let text = ''
  while (text.length < 3_000_000) {
    const [entry] = (await call('workspace_logs', { workspace_id: id, sequence, offset: text.length })).entries
    assert.ok(entry && entry.stdout.length > 0)
    text += entry.stdout
  }
  assert.equal(text, '0123456\n'.repeat(375_000))
})

verifies('workspace.concurrent', 'twenty commands at once, while another sleeps', async () => {
  const sleeping = run(id, 'sleep 3; echo slept')
  const results = await Promise.all(Array.from({ length: 20 }, (_, i) => run(id, `echo ${i}`)))
  assert.deepEqual(results.map(({ stdout }) => stdout), Array.from({ length: 20 }, (_, i) => `${i}\n`))
  assert.equal((await sleeping).stdout, 'slept\n')
})

verifies('workspace.exec', 'a time-out is a result, with all output so far', async () => {
  const result = await call('workspace_exec', { workspace_id: id, command: 'echo before; sleep 100 & sleep 100', timeout_seconds: 1 })
  assert.deepEqual([result.exit_code, result.timed_out, result.stdout, result.stderr], [124, true, 'before\n', 'command timed out after 1s\n'])
})

verifies('workspace.concurrent', 'a caller who gives up ends the command, and stop ends those of others', async () => {
  const giveUp = new AbortController()
  const canceled = call('workspace_exec', { workspace_id: id, command: 'echo $$; exec sleep 1000' }, { signal: giveUp.signal, onOutput: () => giveUp.abort() })
  await assert.rejects(canceled, { name: 'AbortError' })
  assert.equal((await run(id, 'ls /proc/[0-9]*/comm | xargs grep -l sleep 2>/dev/null | wc -l')).stdout, '0\n')
  const other = call('workspace_exec', { workspace_id: id, command: 'sleep 1000' })
  other.catch(() => {})
  await until('the command to run', () => orchestrator.sandboxes.get(id)?.commands.size)
  await call('workspace_stop', { workspace_id: id })
  await assert.rejects(other, { code: 'wrong_state', message: /was ended by workspace_stop/ })
  const ended = (await call('workspace_logs', { workspace_id: id })).entries.slice(-3)
  assert.deepEqual(ended.map(({ state, exit_code }) => [state, exit_code]), [['ended', 137], ['ended', 0], ['ended', 137]])
  await call('workspace_start', { workspace_id: id })
})

