import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sandboxFiles } from '../../../src/engine/sandbox/directory.ts'
import { processesUsing, until } from '../../behaviours/home.ts'
import { verifies } from '../../behaviours/promises.ts'
import { own } from '../../behaviours/workspaces.ts'

const owner = await own()
const { call, create, run, home } = owner
const waiting = () => until('a fork that waits', () => owner.orchestrator.warm.count === 1)
const machines = () => owner.orchestrator.store.machines()

verifies('warm.taken', 'it becomes the machine of the next workspace, with its seed or without one', async () => {
  const seed = mkdtempSync(join(home.directory, 'seed-'))
  writeFileSync(join(seed, 'file'), 'from the seed')
  await create()
  for (const input of [{}, { seed_path: seed }]) {
    await waiting()
    const warm = machines().find(({ kind }) => kind === 'warm')
    const id = await create(input)
    assert.equal(warm?.details['sandboxId'], id)
    assert.deepEqual(machines().filter((row) => row.id === warm?.id).map(({ kind, sandboxId }) => [kind, sandboxId]), [['sandbox', id]])
    assert.equal((await run(id, 'cat file 2>/dev/null || echo none; hostname')).stdout, 'seed_path' in input ? `from the seed${id}\n` : `none\n${id}\n`)
    await call('workspace_stop', { workspace_id: id })
    await call('workspace_start', { workspace_id: id })
    assert.equal((await run(id, 'ls | wc -l')).stdout, 'seed_path' in input ? '1\n' : '0\n')
  }
})

verifies('warm.taken', 'forks of one template have different identities and random numbers', async () => {
  const seen = new Set<string>()
  for (let i = 0; i < 3; i++) {
    await waiting()
    const { stdout } = await run(await create(), 'cat /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/uuid')
    for (const line of stdout.trim().split('\n')) {
      assert.ok(!seen.has(line), line)
      seen.add(line)
    }
  }
})

verifies('warm.off', 'it goes when its owner lets go, when room is needed, and is not made when it is turned off', async () => {
  await waiting()
  const warm = machines().find(({ kind }) => kind === 'warm')
  await owner.orchestrator[Symbol.asyncDispose]()
  assert.equal(existsSync(sandboxFiles(home.engine.paths, String(warm?.details['sandboxId'])).directory), false)
  await owner.reopen()
  assert.deepEqual(processesUsing(String(warm?.id)), [])
  assert.ok(!machines().some(({ kind }) => kind === 'warm'))
  await create()
  await waiting()
  assert.equal(await owner.orchestrator.warm.giveUpOne(), true)
  assert.equal(owner.orchestrator.warm.count, 0)
  home.env['PYRO_WARM_FORKS'] = '0'
  await owner.reopen()
  await create()
  assert.deepEqual(machines().filter(({ kind }) => kind === 'warm'), [])
})
