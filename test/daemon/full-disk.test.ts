import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { createClient } from '../../src/daemon/client/client.ts'
import { stopDaemon } from '../../src/daemon/client/control.ts'
import { collect, pyro, startPyro } from '../behaviours/command-line.ts'
import { environment, until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { newWorkspace, pyroJson } from '../cli/workspace-home.ts'
import { homeOnSmallDisk, noSmallDisk } from './chaos/small-disk.ts'

const options = { skip: noSmallDisk }
const writes = 'dd if=/dev/zero of=large bs=1M count=40 2>/dev/null; sync; echo flushed'

function home() {
  const made = homeOnSmallDisk(256, { PYRO_WARM_FORKS: '0' })
  const { paths } = made.engine
  made.machines.defer(async () => {
    made.disk.free()
    await stopDaemon(paths, made.env, { machines: true, force: true })
  })
  return { ...made, client: made.machines.use(createClient(paths, made.env)), left: () => readdirSync(paths.workspaces) }
}

const small = ['--mem-mib', '256']

verifies('luck.full-disk', 'no workspace is made, those that are there can be looked at and deleted, and one that writes goes on once there is room', options, async () => {
  const { disk, client, left, ...own } = home()
  const [id, other] = [await newWorkspace(own, ...small), await newWorkspace(own, ...small)]
  await client.call('workspace_exec', { workspace_id: id, command: 'true' })
  disk.fill()

  await assertRefused(own, ['workspace', 'create', environment, ...small], { code: 'no_space', error: /no space left/, hint: /free some disk space/ })
  assert.deepEqual(left().sort(), [id, other].sort())

  const writing = collect(startPyro(own, ['workspace', 'exec', id, '--', 'sh', '-c', writes]))
  const held = { code: 'no_space', error: new RegExp(`'${id}' is held until there is room`), hint: /free some disk space/ }
  await until('it to be held', async () => /is held/.test((await pyro(own, ['workspace', 'exec', id, '--', 'true'])).stderr.toString()))
  await assertRefused(own, ['workspace', 'exec', id, '--', 'true'], held)
  for (const command of ['status', 'logs']) assert.equal((await pyro(own, ['workspace', command, id])).code, 0)
  assert.equal((await pyroJson<{ count: number }>(own, 'workspace', 'list')).count, 2)
  assert.equal((await pyro(own, ['workspace', 'delete', other])).code, 0)
  assert.deepEqual(left(), [id])

  disk.free()
  const { code, stdout, stderr } = await writing
  assert.deepEqual([code, stdout.toString()], [0, 'flushed\n'], stderr.toString())
  assert.equal((await pyro(own, ['workspace', 'exec', id, '--', 'sh', '-c', 'cmp -n 41943040 large /dev/zero && stat -c %s large'])).stdout.toString(), '41943040\n')
})

verifies(['luck.full-disk', 'luck.held'], 'a held workspace is not stopped, which would cost what it has not written, but can be deleted', options, async () => {
  const { disk, client, left, ...own } = home()
  const [id, other] = [await newWorkspace(own, ...small), await newWorkspace(own, ...small)]
  disk.fill()
  const writing = [id, other].map((one) => client.call('workspace_exec', { workspace_id: one, command: writes }))
  for (const one of writing) one.catch(() => {})
  for (const one of [id, other]) await until('it to be held', () => client.call('workspace_exec', { workspace_id: one, command: 'true' }).then(() => false, (error: { message: string }) => error.message.includes('is held')))
  await assertRefused(own, ['workspace', 'stop', id], { code: 'no_space', error: new RegExp(`'${id}' is held`), hint: /free some disk space/ })
  assert.equal((await pyro(own, ['workspace', 'delete', other])).code, 0)
  assert.deepEqual(left(), [id])
  await assert.rejects(writing[1] as Promise<unknown>, { code: 'wrong_state', message: /was ended by workspace_delete/ })
  disk.free()
  assert.deepEqual((await writing[0])?.stdout, 'flushed\n')
  assert.equal((await client.call('workspace_stop', { workspace_id: id })).metadata['clean_stop'], 'true')
})

verifies(['luck.full-disk', 'luck.held'], 'one that was held when its daemon was killed is held by the next one, and goes on once there is room', options, async () => {
  const { disk, client, ...own } = home()
  const id = await newWorkspace(own, ...small)
  disk.fill()
  const writing = client.call('workspace_exec', { workspace_id: id, command: writes })
  await until('it to be held', () => client.call('workspace_exec', { workspace_id: id, command: 'true' }).then(() => false, (error: { message: string }) => error.message.includes('is held')))
  await stopDaemon(own.engine.paths, own.env, { machines: false, force: true })
  await assert.rejects(client.call('workspace_exec', { workspace_id: id, command: 'true' }), { code: 'no_space', message: /is held/ })
  const { state, metadata } = await client.call('workspace_status', { workspace_id: id })
  assert.deepEqual([state, metadata['paused']], ['started', undefined])
  disk.free()
  assert.equal((await writing).stdout, 'flushed\n')
})

verifies('luck.full-disk', 'a daemon can be started on a full disk, and a workspace that was stopped waits for room with a clear error', options, async () => {
  const { disk, client, ...own } = home()
  const id = await newWorkspace(own, ...small)
  await client.call('workspace_exec', { workspace_id: id, command: 'echo kept >file' })
  await client.call('workspace_stop', { workspace_id: id })
  await stopDaemon(own.engine.paths, own.env, { machines: false, force: false })
  disk.fill()
  assert.equal((await pyroJson<{ count: number }>(own, 'workspace', 'list')).count, 1)
  await assertRefused(own, ['workspace', 'start', id], { code: 'no_space', error: /no space left/, hint: /free some disk space/ })
  disk.free()
  assert.equal((await pyro(own, ['workspace', 'start', id])).code, 0)
  assert.equal((await client.call('workspace_exec', { workspace_id: id, command: 'cat file' })).stdout, 'kept\n')
})
