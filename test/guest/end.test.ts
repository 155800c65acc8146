import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Code, type ConnectError } from '@connectrpc/connect'
import { resolveMachine } from '../../src/engine/machine/launch.ts'
import { environment, temporaryHome } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { temporaryDirectory } from '../engine/temporary.ts'
import { assertClean, connect, fork, newDisk, run } from './fork.ts'

const home = temporaryHome()

/** Writes without pause, to a file that has no name any more too. */
const writers = 'exec 9>/workspace/gone; rm /workspace/gone; (while :; do echo x >&9; done) & while :; do date >>/workspace/log; done'

verifies(['disk.clean-end', 'disk.again'], 'a machine that is shut down amid writes leaves a clean disk, which the next one uses', async () => {
  const disk = await newDisk(home)
  const { guest, machine, run } = await fork(home, { disk })
  await run('echo kept >/workspace/kept; mkdir -p /etc/own; echo etc >/etc/own/file')
  const writing = run(writers).catch(() => {})
  const upload = guest.agent.writeFile(endless())
  upload.catch(() => {})
  await guest.agent.shutdown({})
  assert.equal((await machine.ended).code, 0)
  await writing
  await assertClean(disk)

  const again = await fork(home, { disk })
  assert.equal((await again.run('cat /workspace/kept /etc/own/file')).stdout, 'kept\netc\n')
})

verifies('disk.failure-told', 'a disk whose writes fail is told by every call that counts on it', async (t) => {
  const disk = await newDisk(home)
  try {
    execFileSync('chattr', ['+i', disk], { stdio: 'ignore' })
    execFileSync('chattr', ['-i', disk])
  } catch {
    t.skip('needs root and a file system with immutable files')
    return
  }
  const { guest, machine, run } = await fork(home, { disk })
  assert.equal((await guest.agent.ping({})).diskFailed, false)
  execFileSync('chattr', ['+i', disk])
  try {
    await run('echo lost >/workspace/lost')
    const lost = (error: ConnectError) => error.code === Code.DataLoss || error.code === Code.Internal
    await assert.rejects(guest.agent.sync({}), lost)
    assert.equal((await guest.agent.ping({})).diskFailed, true)
    await assert.rejects(guest.agent.checkpoint({ sequence: 1n }), (error: ConnectError) => error.code === Code.DataLoss)
    await assert.rejects(guest.agent.shutdown({}), (error: ConnectError) => error.code === Code.DataLoss)
    assert.equal((await machine.ended).code, 0)
  } finally {
    execFileSync('chattr', ['-i', disk])
  }
})

/** An upload that never ends holds its file open. */
async function* endless() {
  yield { path: '/workspace/upload', data: Buffer.from('begun') }
  await new Promise(() => {})
}

verifies('lease.ends', 'a machine whose host has left shuts down cleanly when its lease is over', async () => {
  const disk = await newDisk(home)
  const { guest, machine, run } = await fork(home, { disk, leaseMs: 300 })
  await run('echo kept >/workspace/kept')
  void run(writers).catch(() => {})
  guest[Symbol.dispose]()
  assert.equal((await machine.ended).code, 0)
  await assertClean(disk)
  assert.equal((await (await fork(home, { disk })).run('cat /workspace/kept')).stdout, 'kept\n')
})

verifies('lease.renewed', 'a machine outlasts its lease while a host is connected, also another one', async () => {
  const { guest, machine } = await fork(home, { leaseMs: 3000 })
  assert.equal((await run(guest, 'sleep 3.5; echo here')).stdout, 'here\n')
  guest[Symbol.dispose]()
  using next = await connect(machine)
  assert.equal((await run(next, 'sleep 3.5; echo still')).stdout, 'still\n')
})

/** An image with one file, which holds its name. */
function seedImage(directory: string, name: string): string {
  mkdirSync(join(directory, name))
  writeFileSync(join(directory, name, 'file'), `${name}\n`)
  execFileSync('mksquashfs', [join(directory, name), join(directory, `${name}.img`), '-quiet', '-no-progress', '-all-root'])
  return join(directory, `${name}.img`)
}

verifies(['seed.exchanged', 'disk.again'], 'a disk that was used takes another seed', async () => {
  const directory = await temporaryDirectory()
  const disk = await newDisk(home)
  for (const name of ['one', 'two']) {
    const { guest, machine, run } = await fork(home, { disk, seed: seedImage(directory, name) })
    assert.equal((await run('cat file; echo own >own')).stdout, `${name}\n`)
    await guest.agent.shutdown({})
    await machine.ended
  }
})

verifies('seed.exchanged', 'a seed that came after the machine had started is what it sees', async (t) => {
  const { source } = await resolveMachine(home.engine, { environment, shape: { vcpuCount: 1, memMib: 512 } })
  if (!source.vmm.exchangesDrives) {
    t.skip('this VMM exchanges no drives')
    return
  }
  const { run } = await fork(home, { exchanged: seedImage(await temporaryDirectory(), 'late') })
  assert.equal((await run('cat file')).stdout, 'late\n')
})
