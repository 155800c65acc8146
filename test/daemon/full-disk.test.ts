import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { createClient } from '../../src/daemon/client/client.ts'
import { stopDaemon } from '../../src/daemon/client/control.ts'
import { pyro } from '../behaviours/command-line.ts'
import { environment, until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { assertRefused } from '../behaviours/refusal.ts'
import { newWorkspace, pyroJson } from '../cli/workspace-home.ts'
import { homeOnSmallDisk, noSmallDisk } from './chaos/small-disk.ts'

const options = { skip: noSmallDisk }
/** Writes 40 MiB once it is told to. */
const writes = 'read go; dd if=/dev/zero of=large bs=1M count=40 2>/dev/null; sync; echo flushed'

function home() {
  const made = homeOnSmallDisk(256, { PYRO_WARM_FORKS: '0' })
  const { paths } = made.engine
  made.machines.defer(async () => {
    made.disk.free()
    await until('every machine to stop', () => stopDaemon(paths, made.env, { machines: true, force: true }).catch(() => false)) // one may wait for room still
  })
  const client = made.machines.use(createClient(paths, made.env))
  return {
    ...made,
    client,
    left: () => readdirSync(paths.workspaces),
    /** Has workspaces held by a disk that fills up; resolves to their commands, which wait for room. */
    async held(...ids: string[]): Promise<Promise<string>[]> {
      const full = Promise.withResolvers<string>()
      async function* go() {
        yield Buffer.from(await full.promise)
      }
      const started = ids.map(() => Promise.withResolvers<void>())
      const writing = ids.map(async (id, i) => {
        const { stdout } = await client.call('workspace_exec', { workspace_id: id, command: writes, interactive: true }, { stdin: go(), onStarted: () => started[i]?.resolve() })
        return stdout
      })
      for (const each of writing) each.catch(() => {})
      await Promise.all(started.map(({ promise }) => promise))
      made.disk.fill()
      full.resolve('go\n')
      for (const id of ids) await until('it to be held', () => isHeld(id))
      return writing
    },
  }

  async function isHeld(id: string): Promise<boolean> {
    return (await client.call('workspace_status', { workspace_id: id })).metadata['waits_for_space'] === 'true'
  }
}

const small = ['--mem-mib', '256']

verifies('luck.full-disk', 'no workspace is made, those that are there can be looked at and deleted, and one that writes goes on once there is room', options, async () => {
  const { disk, left, held, ...own } = home()
  const [id, other] = [await newWorkspace(own, ...small), await newWorkspace(own, ...small)]
  const [writing] = await held(id)

  await assertRefused(own, ['workspace', 'create', environment, ...small], { code: 'no_space', error: /no space left/, hint: /free some disk space/ })
  assert.deepEqual(left().sort(), [id, other].sort())

  await assertRefused(own, ['workspace', 'exec', id, '--', 'true'], { code: 'no_space', error: new RegExp(`'${id}' is held until there is room`), hint: /free some disk space/ })
  for (const command of ['status', 'logs']) assert.equal((await pyro(own, ['workspace', command, id])).code, 0)
  assert.equal((await pyroJson<{ count: number }>(own, 'workspace', 'list')).count, 2)
  assert.equal((await pyro(own, ['workspace', 'delete', other])).code, 0)
  assert.deepEqual(left(), [id])

  disk.free()
  assert.equal(await writing, 'flushed\n')
  assert.equal((await pyro(own, ['workspace', 'exec', id, '--', 'sh', '-c', 'cmp -n 41943040 large /dev/zero && stat -c %s large'])).stdout.toString(), '41943040\n')
})

verifies(['luck.full-disk', 'luck.held'], 'a held workspace is not stopped, which would cost what it has not written, but can be deleted', options, async () => {
  const { disk, client, left, held, ...own } = home()
  const [id, other] = [await newWorkspace(own, ...small), await newWorkspace(own, ...small)]
  const [writing, deleted] = await held(id, other)
  await assertRefused(own, ['workspace', 'stop', id], { code: 'no_space', error: new RegExp(`'${id}' is held`), hint: /free some disk space/ })
  assert.equal((await pyro(own, ['workspace', 'delete', other])).code, 0)
  assert.deepEqual(left(), [id])
  await assert.rejects(deleted as Promise<string>, { code: 'wrong_state', message: /was ended by workspace_delete/ })
  disk.free()
  assert.equal(await writing, 'flushed\n')
  assert.equal((await client.call('workspace_stop', { workspace_id: id })).metadata['clean_stop'], 'true')
})

verifies(['luck.full-disk', 'luck.held'], 'one that was held when its daemon was killed is held by the next one, and goes on once there is room', options, async () => {
  const { disk, client, held, ...own } = home()
  const id = await newWorkspace(own, ...small)
  const [writing] = await held(id)
  await stopDaemon(own.engine.paths, own.env, { machines: false, force: true })
  await assert.rejects(client.call('workspace_exec', { workspace_id: id, command: 'true' }), { code: 'no_space', message: /is held/ })
  const { state, metadata } = await client.call('workspace_status', { workspace_id: id })
  assert.deepEqual([state, metadata['paused']], ['started', undefined])
  disk.free()
  assert.equal(await writing, 'flushed\n')
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
