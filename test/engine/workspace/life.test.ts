import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sandboxFiles } from '../../../src/engine/sandbox/directory.ts'
import { environment, processesUsing } from '../../behaviours/home.ts'
import { verifies } from '../../behaviours/promises.ts'
import { own } from '../../behaviours/workspaces.ts'

const owner = await own({ PYRO_WARM_FORKS: '0' })
const { call, create, run, home } = owner

verifies(['workspace.lives', 'workspace.logged'], 'what was made in it is there after stop and start, and so is the record', async () => {
  const seed = mkdtempSync(join(home.directory, 'seed-'))
  writeFileSync(join(seed, 'tool'), '#!/bin/sh\necho from the seed\n', { mode: 0o755 })
  const made = await call('workspace_create', { environment, mem_mib: 256, seed_path: seed, name: ' my project ', labels: { b: '2', a: '1' } })
  const id = made.workspace_id
  assert.match(id, /^[0-9a-f]{12}$/)
  assert.equal(made.name, 'my project')
  assert.deepEqual(Object.keys(made.labels), ['a', 'b'])
  assert.deepEqual([made.state, made.workspace_seed.mode, made.workspace_seed.seed_path, made.workspace_seed.entry_count], ['started', 'directory', seed, 1])
  assert.equal((await run(id, './tool && printf x >kept && chmod 750 kept && echo pkg >/opt/installed && ln kept again')).stdout, 'from the seed\n')
  const stopped = await call('workspace_stop', { workspace_id: id })
  assert.deepEqual([stopped.state, stopped.metadata['stopped_by'], stopped.metadata['clean_stop']], ['stopped', 'user', 'true'])
  assert.equal((await call('workspace_stop', { workspace_id: id })).state, 'stopped')
  const started = await call('workspace_start', { workspace_id: id })
  assert.deepEqual([started.state, started.command_count, started.last_command?.exit_code], ['started', 1, 0])
  assert.equal((await call('workspace_start', { workspace_id: id })).state, 'started')
  assert.equal((await run(id, 'stat -c "%a %h" kept; cat /opt/installed; ./tool; mount | grep -c " / .*rw"')).stdout, '750 2\npkg\nfrom the seed\n1\n')
  assert.deepEqual((await call('workspace_logs', { workspace_id: id })).entries.map(({ sequence, state }) => [sequence, state]), [[1, 'ended'], [2, 'ended']])
})

verifies('workspace.states', 'a stopped workspace refuses commands and says how to start it', async () => {
  const id = await create()
  await call('workspace_stop', { workspace_id: id })
  await assert.rejects(run(id, 'true'), { code: 'wrong_state', message: new RegExp(`'${id}' must be in 'started' state for workspace_exec`), hint: `pyro workspace start ${id}` })
})

verifies('workspace.deleted', 'nothing is left of a deleted workspace, in whichever state it was', async () => {
  for (const stop of [false, true]) {
    const id = await create()
    await run(id, 'sleep 1000 >/dev/null 2>&1 &')
    if (stop) await call('workspace_stop', { workspace_id: id })
    assert.deepEqual(await call('workspace_delete', { workspace_id: id }), { workspace_id: id, deleted: true, reason: 'explicit_delete' })
    assert.equal(existsSync(sandboxFiles(home.engine.paths, id).directory), false)
    assert.deepEqual(processesUsing(id), [])
    for (const name of ['workspace_status', 'workspace_logs', 'workspace_stop', 'workspace_start', 'workspace_delete'] as const) {
      await assert.rejects(call(name, { workspace_id: id }), { code: 'not_found', message: `workspace '${id}' does not exist` })
    }
  }
})

verifies('workspace.states', 'an update changes the name and labels, and one that changes nothing is refused', async () => {
  const id = await create({ name: 'before', labels: { a: '1', b: '2' } })
  const updated = await call('workspace_update', { workspace_id: id, name: 'after', labels: { c: '3' }, clear_labels: ['a'] })
  assert.deepEqual([updated.name, updated.labels], ['after', { b: '2', c: '3' }])
  assert.equal((await call('workspace_update', { workspace_id: id, clear_name: true })).name, null)
  for (const input of [{}, { clear_name: true }, { labels: { b: '2' } }, { clear_labels: ['nothing'] }]) {
    await assert.rejects(call('workspace_update', { workspace_id: id, ...input }), { code: 'invalid_argument', message: /no effective change/ })
  }
  await assert.rejects(call('workspace_update', { workspace_id: id, name: 'x', clear_name: true }), { message: /cannot be used together/ })
  await call('workspace_update', { workspace_id: id, name: 'last' })
  const { workspaces } = await call('workspace_list', {})
  assert.equal(workspaces[0]?.name, 'last', 'the last used comes first')
})

verifies('workspace.whole-or-none', 'bad input and a creation that is given up leave nothing', async () => {
  const { paths } = home.engine
  const before = readdirSync(paths.workspaces)
  const wrong = [
    { environment: 'nonsense' },
    { mem_mib: 1 },
    { ttl_seconds: 59 },
    { seed_path: '/nowhere' },
    { name: 'x'.repeat(121) },
    { labels: { 'not a key': 'x' } },
    { network_policy: 'egress' as const },
    { exclude: ['x'] },
  ]
  for (const input of wrong) await assert.rejects(create(input), { name: 'PyroError' })
  for (const ms of [1, 40, 150]) {
    await assert.rejects(call('workspace_create', { environment, mem_mib: 256 }, { signal: AbortSignal.timeout(ms) }))
  }
  assert.deepEqual(readdirSync(paths.workspaces), before)
  assert.deepEqual(owner.orchestrator.store.intents(), [])
})
