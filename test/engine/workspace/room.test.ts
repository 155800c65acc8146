import assert from 'node:assert/strict'
import { relieve } from '../../../src/engine/orchestrator/memory.ts'
import { until } from '../../behaviours/home.ts'
import { verifies } from '../../behaviours/promises.ts'
import { own } from '../../behaviours/workspaces.ts'

const { call, create, run, orchestrator } = await own({ PYRO_MAX_MACHINES: '2', PYRO_WARM_FORKS: '0' })
const state = async (id: string) => {
  const { state, metadata } = await call('workspace_status', { workspace_id: id })
  return [state, metadata['stopped_by']]
}

verifies(['room.makes-way', 'room.refuses', 'room.pressure'], 'the longest idle one makes way and starts again when it is needed; busy ones do not', async () => {
  const [a, b] = [await create(), await create()]
  await run(a, 'echo kept >file')
  const c = await create()
  assert.deepEqual(await state(a), ['started', undefined])
  assert.deepEqual(await state(b), ['stopped', 'memory'])
  assert.equal((await run(b, 'echo awake')).stdout, 'awake\n')
  assert.deepEqual(await state(a), ['stopped', 'memory'])
  assert.equal((await run(a, 'cat file')).stdout, 'kept\n')

  const busy = [a, b].map((id) => run(id, 'while [ ! -e go ]; do sleep 0.05; done'))
  await until('both to be busy', () => [a, b].every((id) => orchestrator.sandboxes.get(id)?.commands.size))
  await assert.rejects(run(c, 'true'), { code: 'too_many_machines', message: /max active VMs reached/, hint: /PYRO_MAX_MACHINES/ })
  await assert.rejects(create(), { code: 'too_many_machines' })
  await Promise.all([a, b].map((id) => run(id, 'touch go')))
  await Promise.all(busy)

  assert.deepEqual([await state(a), await state(b)], [['started', undefined], ['started', undefined]])
  orchestrator.env['PYRO_MEMORY_RESERVE_MIB'] = String(2 ** 30)
  await relieve(orchestrator)
  assert.deepEqual([await state(a), await state(b)], [['started', undefined], ['started', undefined]], 'only paused ones are stopped for memory')
  orchestrator.store.updateSandbox(a, { ttlSeconds: 0 })
  await run(a, 'true')
  await until('the pause', async () => orchestrator.sandboxes.get(a)?.live?.paused)
  await relieve(orchestrator)
  assert.deepEqual([await state(a), await state(b)], [['stopped', 'memory'], ['started', undefined]])
  delete orchestrator.env['PYRO_MEMORY_RESERVE_MIB']

  assert.equal((await call('workspace_stop', { workspace_id: a })).metadata['stopped_by'], 'user')
  await assert.rejects(run(a, 'true'), { code: 'wrong_state' }, 'one that a person stopped stays stopped')
})
