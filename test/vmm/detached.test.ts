import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { PyroError } from '../../src/contract/errors.ts'
import { adoptHostMachine, startHostMachine } from '../../src/vmm/host/host.ts'
import { assertNothingLeft, type Home, temporaryHome, until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { temporaryDirectory } from '../engine/temporary.ts'
import { attachTo, connect, directoryOf, forkDetached, longLease, newId, output, resolve } from './detached.ts'

const home = temporaryHome()
const { vmm } = (await resolve(home)).source

/** Starts a machine in a process of its own; resolves when a command runs in it. */
async function startOwner(own: Home, id: string): Promise<ChildProcess> {
  const owner = spawn(process.execPath, [fileURLToPath(import.meta.resolve('./owner.ts')), id], { env: own.env, stdio: ['pipe', 'pipe', 'inherit'] })
  own.machines.defer(() => void owner.kill('SIGKILL'))
  const [said] = (await Promise.race([once(createInterface({ input: owner.stdout! }), 'line'), once(owner, 'exit')])) as [string | number]
  assert.equal(said, 'running')
  return owner
}

verifies('machine.outlives-owner', 'a machine whose owner was killed is adopted with its processes, files and control channel', async () => {
  const own = temporaryHome()
  const id = newId()
  const owner = await startOwner(own, id)
  owner.kill('SIGKILL')
  await once(owner, 'exit')
  const found = (await resolve(own)).source.vmm
  const machine = await found.adopt(id)
  assert.ok(machine)
  own.machines.use(machine)
  assert.deepEqual([machine.id, await machine.isPaused()], [id, false])
  const guest = await connect(machine)
  assert.equal(await output(machine, guest, 'cat made; kill -0 $(cat pid) && echo alive'), 'by the owner\nalive\n')
  await machine[Symbol.asyncDispose]()
  assert.equal(await found.adopt(id), undefined)
  await assertNothingLeft(own)
})

verifies('machine.one-owner', 'a second owner is refused in bounded time while the first lives, and welcome after', async () => {
  const own = temporaryHome()
  const id = newId()
  const owner = await startOwner(own, id)
  const found = (await resolve(own)).source.vmm
  await assert.rejects(found.adopt(id), (error: PyroError) => error.code === 'guest_unresponsive' && /another process/.test(error.message))
  owner.kill('SIGKILL')
  const machine = await found.adopt(id)
  assert.ok(machine)
  own.machines.use(machine)
  assert.equal(await output(machine, await connect(machine), 'cat made'), 'by the owner\n')
})

verifies(['machine.outlives-owner', 'machine.removed'], 'a machine that was released goes on, is adopted again and again, and is removed at its end', async () => {
  const { id, machine: first, resolved } = await forkDetached(home)
  const link = await attachTo(first)
  await output(first, link, 'echo 1 >count')
  first.release()
  await link.closed
  await first[Symbol.asyncDispose]() // has nothing to end any more
  for (const count of ['1\n', '2\n']) {
    const machine = await vmm.adopt(id)
    assert.ok(machine)
    home.machines.use(machine)
    assert.equal(machine.pid, first.pid)
    const guest = await connect(machine)
    assert.equal(await output(machine, guest, 'cat count; echo 2 >count'), count)
    machine.release()
  }
  const last = await resolved.source.vmm.adopt(id)
  await last?.[Symbol.asyncDispose]()
  assert.ok(!existsSync(directoryOf(home, id)))
  assert.ok(!existsSync(join(home.engine.paths.sockets, id)))
})

verifies('machine.lease', 'a machine that nobody is connected to ends with its lease', async () => {
  const own = temporaryHome()
  const { machine } = await forkDetached(own, { detached: { leaseSeconds: 0.5 } })
  await attachTo(machine)
  machine.release()
  await assertNothingLeft(own)
})

verifies('machine.end-is-known', 'an adopted machine tells how its VMM ended, also when it was paused', async () => {
  for (const paused of [false, true]) {
    const { id, machine: first } = await forkDetached(home)
    await attachTo(first)
    first.release()
    const machine = await vmm.adopt(id)
    assert.ok(machine)
    home.machines.use(machine)
    if (paused) await machine.pause()
    process.kill(machine.pid, 'SIGKILL')
    const { code, signal } = await machine.ended
    assert.deepEqual([code, signal], [null, 'SIGKILL'])
    await assert.rejects(machine.pause(), (error: PyroError) => error.code === 'vmm_exited')
    await machine[Symbol.asyncDispose]()
    assert.equal(await vmm.adopt(id), undefined)
    assert.ok(!existsSync(directoryOf(home, id)))
  }
})

verifies(['machine.killed-monitor', 'machine.removed'], 'a killed monitor takes the VMM along; a new machine gets the disk, and disposing removes the rest', async () => {
  const directory = await temporaryDirectory()
  const disk = join(directory, 'disk.img')
  const holds = [{ path: join(directory, 'lock'), exclusive: true }]
  const { template, source } = await resolve(home)
  const drives = { environment: source.environment.rootfsImage, disk }
  const { id, machine } = await forkDetached(home, { drives, holds, copies: [{ from: template.disk, to: disk }], durable: true })
  const guest = await attachTo(machine)
  await output(machine, guest, 'echo kept >file; sync')
  await assert.rejects(forkDetached(home, { drives, holds, copies: [] }), /locked by someone else/)
  const monitor = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${machine.pid}/status`, 'utf8'))?.[1])
  process.kill(monitor, 'SIGKILL')
  assert.deepEqual(await machine.ended, { code: null, signal: null, console: '' })
  assert.equal(await vmm.adopt(id), undefined)
  const { machine: next } = await forkDetached(home, { drives, holds, copies: [], durable: true })
  assert.ok(!existsSync(`/proc/${machine.pid}/exe`))
  await machine[Symbol.asyncDispose]()
  assert.ok(!existsSync(directoryOf(home, id)))
  assert.equal(await output(next, await attachTo(next), 'cat file'), 'kept\n')
  await next[Symbol.asyncDispose]()
  assert.ok(existsSync(disk))
})

verifies(['machine.outlives-owner', 'machine.removed'], 'a machine on the host is adopted, too, and cannot be paused', async () => {
  const { paths } = home.engine
  const id = newId()
  const options = { id, root: join(directoryOf(home, id), 'root'), detached: longLease }
  const first = await startHostMachine(paths, options)
  home.machines.defer(async () => void (await (await adoptHostMachine(paths, id))?.[Symbol.asyncDispose]()))
  const before = await connect(first)
  await before.agent.prepare({})
  first.release()
  await before.closed
  const machine = await adoptHostMachine(paths, id)
  assert.ok(machine)
  assert.equal(machine.pid, first.pid)
  await machine.pause()
  assert.deepEqual([machine.pausable, await machine.isPaused()], [false, false])
  const guest = await connect(machine)
  await guest.agent.attach({ hostname: id, machineId: '0'.repeat(32), realtimeNs: BigInt(Date.now()) * 1_000_000n, entropy: new Uint8Array(64) })
  assert.equal(await output(machine, guest, 'echo ran'), 'ran\n')
  await machine[Symbol.asyncDispose]()
  assert.equal(await adoptHostMachine(paths, id), undefined)
  await until('nothing of it', () => !existsSync(directoryOf(home, id)) && !existsSync(`/proc/${machine.pid}/exe`))
})
