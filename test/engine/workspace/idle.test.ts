import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../../behaviours/home.ts'
import { verifies } from '../../behaviours/promises.ts'
import { own } from '../../behaviours/workspaces.ts'

const owner = await own({ PYRO_WARM_FORKS: '0' })
const { call, create, run } = owner
const status = (id: string) => call('workspace_status', { workspace_id: id })
const paused = async (id: string) => (await status(id)).metadata['paused'] === 'true'

/** Shorter than the contract allows: the time to live itself is not what is tested. */
function live(id: string, ttlSeconds: number): void {
  owner.orchestrator.store.updateSandbox(id, { ttlSeconds })
}

function cpuTicks(id: string): number {
  const pid = owner.orchestrator.sandboxes.get(id)?.live?.machine.pid
  const [, , , , , , , , , , , user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return Number(user) + Number(system)
}

verifies('idle.pauses', 'left alone it uses no CPU, and the next command finds its processes alive and the clock right', async () => {
  const id = await create()
  live(id, 1)
  const { stdout: pid } = await run(id, 'sleep 1000 >/dev/null 2>&1 & echo $!')
  await until('the pause', () => paused(id))
  assert.equal((await status(id)).state, 'started')
  const before = cpuTicks(id)
  await delay(1500) // this long without a single tick
  assert.equal(cpuTicks(id), before)
  const { stdout } = await run(id, `kill -0 ${pid.trim()} && date +%s.%N`)
  assert.ok(Math.abs(Number(stdout) - Date.now() / 1000) < 2, `the guest's clock says ${stdout}`)
  await until('the next pause', () => paused(id))
})

verifies('idle.use-renews', 'a running command keeps it awake, and looking at it wakes nothing', async () => {
  const id = await create()
  live(id, 1)
  const { stdout } = await run(id, 'for i in 1 2 3 4 5 6; do sleep 0.5; date +%s%N; done')
  const times = stdout.trim().split('\n').map((ns) => Number(ns) / 1e9)
  for (const [i, time] of times.slice(1).entries()) assert.ok(time - (times[i] ?? 0) < 3, 'it was not held up')
  await until('the pause', () => paused(id))
  await call('workspace_list', {})
  await call('workspace_logs', { workspace_id: id })
  await call('workspace_update', { workspace_id: id, name: 'still asleep' })
  assert.equal(await paused(id), true)
  assert.ok((await status(id)).expires_at > Date.now() / 1000, 'but the update counts as use')
})

verifies('idle.pauses', 'a paused one is adopted as such, stopped cleanly and deleted', async () => {
  const id = await create()
  live(id, 1)
  await run(id, 'echo kept >file')
  await until('the pause', () => paused(id))
  await owner.reopen()
  assert.equal(await paused(id), true)
  assert.equal((await call('workspace_stop', { workspace_id: id })).metadata['clean_stop'], 'true')
  await call('workspace_start', { workspace_id: id })
  assert.equal((await run(id, 'cat file')).stdout, 'kept\n')
})

verifies('retention.warns-first', 'an untouched workspace is marked, a touched one is not, and a day later it is deleted', async () => {
  const { removeForgotten } = await import('../../../src/engine/orchestrator/retention.ts')
  const [forgotten, used] = [await create(), await create()]
  const { store } = owner.orchestrator
  const long = Date.now() / 1000 - 91 * 86400
  store.updateSandbox(forgotten, { lastActivityAt: long, expiresAt: long + 600 })
  await removeForgotten(owner.orchestrator)
  const listed = async () => Object.fromEntries((await call('workspace_list', {})).workspaces.map(({ workspace_id, retention_due_at }) => [workspace_id, retention_due_at]))
  assert.ok(((await listed())[forgotten] ?? 0) > Date.now() / 1000 + 86000)
  assert.equal((await listed())[used], null)
  await removeForgotten(owner.orchestrator)
  assert.ok(forgotten in (await listed()), 'it is not deleted before its day is over')
  store.updateSandbox(forgotten, { retentionDueAt: Date.now() / 1000 - 1 })
  await removeForgotten(owner.orchestrator)
  assert.ok(!(forgotten in (await listed())))
  assert.deepEqual(store.events(null, { kinds: ['workspace_retired'] }).map(({ payload }) => payload), [{ id: forgotten }])
})
