import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Machine } from '../../src/vmm/vmm.ts'
import { temporaryHome, until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { temporaryDirectory } from '../engine/temporary.ts'
import { attachTo, connect, forkDetached, output, resolve } from './detached.ts'

const home = temporaryHome()
const { template, source } = await resolve(home)

/** CPU time that a process has used, in hundredths of a second. */
function cpuTime(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // from the third on
  return Number(fields[11]) + Number(fields[12])
}

/** CPU time that a machine uses in a second. */
async function cpuPerSecond({ pid }: Machine): Promise<number> {
  const before = cpuTime(pid)
  await delay(1000)
  return cpuTime(pid) - before
}

verifies('machine.pause', 'a busy machine that is paused uses no CPU, its clock stands still, and its processes go on after', async () => {
  const { machine } = await forkDetached(home)
  const guest = await attachTo(machine)
  const uptime = async () => Number((await output(machine, guest, 'cut -d" " -f1 /proc/uptime')).trim())
  const busy = output(machine, guest, 'while [ ! -e stop ]; do :; done; echo stopped')
  await until('it to be busy', async () => (await cpuPerSecond(machine)) > 10)
  const before = await uptime()
  for (let i = 0; i < 2; i++) await machine.pause()
  assert.equal(await machine.isPaused(), true)
  const from = Date.now()
  assert.ok((await cpuPerSecond(machine)) <= 2)
  await delay(2000)
  assert.ok((await cpuPerSecond(machine)) <= 2)
  const paused = (Date.now() - from) / 1000
  for (let i = 0; i < 2; i++) await machine.resume()
  assert.equal(await machine.isPaused(), false)
  const passed = (await uptime()) - before
  assert.ok(passed < paused - 1, `${passed} s passed in the guest, ${paused} s outside`)
  await output(machine, guest, 'touch stop')
  assert.equal(await busy, 'stopped\n')
  await machine[Symbol.asyncDispose]()
})

verifies(['machine.pause', 'machine.outlives-owner'], 'a paused machine is adopted paused, and goes on', async () => {
  const { id, machine: first } = await forkDetached(home)
  await output(first, await attachTo(first), 'echo here >file')
  await first.pause()
  first.release()
  const machine = await source.vmm.adopt(id)
  assert.ok(machine)
  home.machines.use(machine)
  assert.equal(await machine.isPaused(), true)
  await machine.resume()
  assert.equal(await output(machine, await connect(machine), 'cat file'), 'here\n')
  await machine[Symbol.asyncDispose]()
})

verifies('machine.outlives-owner', 'whoever comes after an owner that left in mid-stream reaches the agent', async () => {
  const { machine } = await forkDetached(home)
  let guest = await attachTo(machine)
  for (let i = 0; i < 10; i++) {
    const flood = output(machine, guest, 'yes flood')
    flood.catch(() => {})
    await output(machine, guest, 'sleep 0.1')
    if (i % 2) await machine.pause()
    guest[Symbol.dispose]()
    await assert.rejects(flood)
    await machine.resume()
    guest = await connect(machine)
  }
  assert.equal(await output(machine, guest, 'echo reached'), 'reached\n')
  await machine[Symbol.asyncDispose]()
})

verifies('machine.full-disk', 'a disk that fills up pauses the guest, across owners, and no write is lost once there is room', async (t) => {
  const small = await temporaryDirectory()
  const mount = (...args: string[]) => execFileSync('mount', args, { stdio: 'pipe' })
  try {
    mount('-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', small)
  } catch {
    return t.skip('cannot mount')
  }
  try {
    const disk = join(small, 'disk.img')
    const options = { drives: { environment: source.environment.rootfsImage, disk }, copies: [{ from: template.disk, to: disk }], durable: true }
    const { id, machine: first } = await forkDetached(home, options)
    const guest = await attachTo(first)
    const stalled = new Promise<void>((done) => first.onStalled(done))
    const written = output(first, guest, 'yes 0123456789 | head -c 50000000 >file && sync && md5sum <file')
    written.catch(() => {}) // its link is cut below
    await stalled
    assert.equal(await first.isPaused(), true)
    await first.resume()
    await new Promise<void>((again) => first.onStalled(again))
    first.release()

    const machine = await source.vmm.adopt(id)
    assert.ok(machine)
    home.machines.use(machine)
    await new Promise<void>((known) => machine.onStalled(known))
    mount('-o', 'remount,size=256m', small)
    await machine.resume()
    assert.equal(await machine.isPaused(), false)
    const again = await connect(machine)
    await until('the file', async () => (await output(machine, again, 'stat -c %s file')).trim() === '50000000')
    const sum = execFileSync('sh', ['-c', 'yes 0123456789 | head -c 50000000 | md5sum'], { encoding: 'utf8' })
    assert.equal(await output(machine, again, 'sync; echo 3 >/proc/sys/vm/drop_caches; md5sum <file'), sum)
    await machine[Symbol.asyncDispose]()
  } finally {
    execFileSync('umount', ['-l', small])
  }
})
