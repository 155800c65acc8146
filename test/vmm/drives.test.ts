import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PyroError } from '../../src/contract/errors.ts'
import { ensureSeed, seedSource } from '../../src/engine/seed/seed.ts'
import { qemuArguments } from '../../src/vmm/qemu/arguments.ts'
import { type Drives, guestDevices } from '../../src/vmm/vmm.ts'
import { temporaryHome } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { attachTo, forkDetached, output } from './detached.ts'

const home = temporaryHome()

verifies('machine.exchange', 'a fork that runs with a blank seed drive is given its seed, once, and mounts it', async () => {
  const directory = join(home.directory, 'seed')
  mkdirSync(directory)
  writeFileSync(join(directory, 'file'), 'of the seed\n')
  const seed = await ensureSeed(home.engine.paths, await seedSource(directory))
  const { machine, resolved } = await forkDetached(home)
  assert.equal(resolved.source.vmm.exchangesDrives, true)
  await assert.rejects(machine.exchange('seed', '/nonexistent'))
  await machine.exchange('seed', seed.path)
  const guest = await attachTo(machine, guestDevices.seed)
  assert.equal(await output(machine, guest, 'cat file; echo changed >file; cat file'), 'of the seed\nchanged\n')
  await assert.rejects(machine.exchange('seed', seed.path), (error: PyroError) => error.code === 'vmm_exited' && /refused/.test(error.message))
  assert.equal(await output(machine, guest, 'cat file'), 'changed\n')
  await machine[Symbol.asyncDispose]()
})

verifies('machine.exchange', 'a machine that is paused or adopted takes its seed as well', async () => {
  const directory = join(home.directory, 'other')
  mkdirSync(directory)
  writeFileSync(join(directory, 'file'), 'of another\n')
  const seed = await ensureSeed(home.engine.paths, await seedSource(directory))
  const { id, machine: first, resolved } = await forkDetached(home)
  await first.pause()
  first.release()
  const machine = await resolved.source.vmm.adopt(id)
  assert.ok(machine)
  home.machines.use(machine)
  await machine.exchange('seed', seed.path)
  await machine.resume()
  assert.equal(await output(machine, await attachTo(machine, guestDevices.seed), 'cat file'), 'of another\n')
  await machine[Symbol.asyncDispose]()
})

verifies('machine.same-devices', 'devices and their order depend neither on drives nor on how flushes are done', () => {
  const devices = (drives: Drives, durable: boolean) => {
    const memory = { path: '/memory', mapping: 'private' as const, readOnly: false }
    const kernel = { image: '/kernel', initramfs: '/initramfs', tscKhz: 1 }
    const argv = qemuArguments({ accelerator: 'tcg', shape: { vcpuCount: 1, memMib: 512 }, kernel, drives, durable, memory, incoming: true })
    return argv.filter((_, index) => argv[index - 1] === '-device')
  }
  const blank = devices({}, false)
  assert.equal(blank.length, 7)
  assert.deepEqual(devices({ environment: '/e', disk: 'disk.img', seed: '/s', spare: '/x' }, true), blank)
})
