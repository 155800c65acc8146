import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Code, ConnectError } from '@connectrpc/connect'
import { temporaryHome } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { assertClean, contents, fork, newDisk } from './fork.ts'

const home = temporaryHome()

verifies(['checkpoint.on-change', 'checkpoint.keeps'], 'a checkpoint follows a change in the root or in /workspace; the oldest go', async () => {
  const disk = await newDisk(home)
  const { guest, run, machine } = await fork(home, { disk })
  const checkpoint = async (sequence: number, keep = 0) => {
    const { taken, last } = await guest.agent.checkpoint({ sequence: BigInt(sequence), keep })
    return [taken, Number(last)]
  }
  assert.deepEqual(await checkpoint(1), [true, 1])
  assert.deepEqual(await checkpoint(2), [false, 1])
  await run('cat /etc/os-release; ls -lR /workspace; true')
  assert.deepEqual(await checkpoint(2), [false, 1])
  await run('echo a >f')
  assert.deepEqual(await checkpoint(2), [true, 2])
  await run('mkdir /root/d')
  assert.deepEqual(await checkpoint(7), [true, 7])
  assert.deepEqual(await checkpoint(7), [false, 7])
  await run('echo b >f')
  await assert.rejects(checkpoint(7), (error: ConnectError) => error.code === Code.AlreadyExists)
  assert.deepEqual(await checkpoint(8, 2), [true, 8])
  await guest.agent.shutdown({})
  await machine.ended
  const held = await contents(disk)
  assert.deepEqual(readdirSync(join(held, 'checkpoints')).sort(), ['7', '8'])
  for (const [sequence, content] of [['7', 'a\n'], ['8', 'b\n']] as const) {
    assert.equal(readFileSync(join(held, 'checkpoints', sequence, 'workspace/upper/f'), 'utf8'), content)
    assert.ok(readdirSync(join(held, 'checkpoints', sequence, 'root/upper/root')).includes('d'))
  }
})

verifies(['checkpoint.lasts', 'disk.again'], 'a checkpoint, and what was flushed after it, are there when the VMM was killed', async () => {
  const disk = await newDisk(home)
  const first = await fork(home, { disk })
  await first.run('echo kept >f; echo root >/root/r')
  assert.equal((await first.guest.agent.checkpoint({ sequence: 1n })).taken, true)
  await first.run('echo later >f; sync f')
  await first.kill()

  const held = await contents(disk)
  assert.equal(readFileSync(join(held, 'checkpoints/1/workspace/upper/f'), 'utf8'), 'kept\n')
  assert.equal(readFileSync(join(held, 'checkpoints/1/root/upper/root/r'), 'utf8'), 'root\n')
  const second = await fork(home, { disk })
  assert.equal((await second.run('cat f /root/r')).stdout, 'later\nroot\n')
  assert.deepEqual((await second.guest.agent.checkpoint({ sequence: 2n })).last, 2n)
  await second.guest.agent.shutdown({})
  await second.machine.ended
  await assertClean(disk)
})

verifies('checkpoint.whole-or-none', 'a VMM that is killed amid checkpoints leaves whole ones', async () => {
  const disk = await newDisk(home)
  let sequence = 1
  for (const requests of [1, 2, 3]) {
    const { guest, run, kill } = await fork(home, { disk })
    await run(`echo ${requests} >f`)
    const answers = Array.from({ length: requests }, () => guest.agent.checkpoint({ sequence: BigInt(sequence++) }).catch(() => {}))
    await Promise.all(answers.slice(1))
    await kill()
    for (const name of readdirSync(join(await contents(disk), 'checkpoints'))) {
      if (!name.startsWith('.')) assert.deepEqual(readdirSync(join(await contents(disk), 'checkpoints', name)).sort(), ['root', 'workspace'])
    }
  }
  const { guest, machine } = await fork(home, { disk })
  assert.equal((await guest.agent.checkpoint({ sequence: 100n })).last, 100n)
  await guest.agent.shutdown({})
  await machine.ended
  await assertClean(disk)
  assert.deepEqual(readdirSync(join(await contents(disk), 'checkpoints')).filter((name) => name.startsWith('.')), [])
})
