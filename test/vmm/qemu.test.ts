import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { PyroError } from '../../src/contract/errors.ts'
import { endedError } from '../../src/vmm/ended.ts'
import { openQmp } from '../../src/vmm/qemu/qmp.ts'
import { parseQemuVersion } from '../../src/vmm/qemu/version.ts'
import { execute, launch } from '../behaviours/guest.ts'
import { assertNothingLeft, temporaryHome } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { temporaryDirectory } from '../engine/temporary.ts'

const home = temporaryHome()

verifies('life.vmm-death', 'a VMM that is killed ends the command that runs in it at once', async () => {
  const machine = await launch(home)
  const waiting = execute(machine, 'echo said; sleep 1000', {
    timeoutMs: 0,
    onOutput: () => void process.kill(machine.pid, 'SIGKILL'),
  })
  await assert.rejects(waiting, (error: PyroError) => {
    assert.equal(error.code, 'vmm_exited')
    assert.match(error.message, /ended by SIGKILL/)
    return true
  })
  await machine[Symbol.asyncDispose]()
  await assertNothingLeft(home)
})

verifies('life.vmm-death', "a guest whose kernel panics ends with the kernel's last words", async () => {
  const machine = await launch(home)
  await assert.rejects(execute(machine, 'echo c >/proc/sysrq-trigger; sleep 1000', { timeoutMs: 0 }), (error: PyroError) => {
    assert.equal(error.code, 'vmm_exited')
    assert.match(error.message, /exited with 0; its last lines: .*Kernel panic - not syncing: sysrq triggered crash/)
    assert.match(String(error.details['console']), /Kernel panic - not syncing: sysrq triggered crash/)
    return true
  })
  await machine[Symbol.asyncDispose]()
  await assertNothingLeft(home)
})

verifies('life.vmm-death', 'the last console lines are in the error, without control characters', () => {
  const error = endedError({ code: 1, signal: null, console: `${'boot\n'.repeat(100)}\u001b[31mno disk\n\n` })
  assert.match(error.message, /exited with 1; its last lines: (boot \| ){4}.*no disk$/)
  assert.doesNotMatch(error.message, /\p{Cc}/u)
  assert.match(String(error.details['console']), /^(boot\n){100}/)
})

/** Starts a machine on a QEMU that fails at once; resolves to the error. */
async function launchOnBrokenQemu(): Promise<PyroError> {
  const bin = await temporaryDirectory()
  writeFileSync(join(bin, 'qemu-system-x86_64'), '#!/bin/sh\n[ "$1" = --version ] && exec /usr/bin/qemu-system-x86_64 --version\necho "out of luck" >&2\nexit 3\n')
  chmodSync(join(bin, 'qemu-system-x86_64'), 0o755)
  const path = process.env['PATH'] ?? ''
  const broken = temporaryHome({ PATH: `${bin}:${path}` })
  process.env['PATH'] = `${bin}:${path}` // the host program looks there too
  try {
    return await launch(broken).then(
      () => assert.fail('it started'),
      (error: PyroError) => error,
    )
  } finally {
    process.env['PATH'] = path
    await assertNothingLeft(broken)
  }
}

verifies(['life.vmm-death', 'life.no-leftovers'], 'a VMM that cannot start is an error, and leaves nothing', async () => {
  assert.equal((await launchOnBrokenQemu()).code, 'vmm_exited')
})

verifies('life.vmm-death', 'a VMM that cannot start is told in its own words', async () => {
  for (let i = 0; i < 5; i++) assert.match((await launchOnBrokenQemu()).message, /exited with 3.*out of luck/)
})

test('versions of QEMU are told apart by what they can do', () => {
  assert.deepEqual(parseQemuVersion('QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright'), { text: '7.2.22 (Debian 1:7.2+dfsg-7)', opensReadOnly: false })
  assert.equal(parseQemuVersion('QEMU emulator version 8.1.0').opensReadOnly, false)
  assert.equal(parseQemuVersion('QEMU emulator version 8.2.0').opensReadOnly, true)
  assert.equal(parseQemuVersion('QEMU emulator version 10.0.2').opensReadOnly, true)
  assert.throws(() => parseQemuVersion('bash: no'), (error: PyroError) => error.code === 'vmm_missing')
})

async function qmpPair(): Promise<{ host: Socket; vmm: Socket }> {
  const path = join(await temporaryDirectory(), 'qmp')
  const server = createServer().listen(path)
  await once(server, 'listening')
  const host = connect(path)
  const [vmm] = (await once(server, 'connection')) as [Socket]
  server.close()
  return { host, vmm }
}

test("QMP answers in order, events in between, refusals in QEMU's words", async () => {
  const { host, vmm } = await qmpPair()
  const qmp = openQmp(host)
  const event = qmp.event(({ event }) => event === 'STOP')
  const one = qmp.execute('one')
  const two = qmp.execute('two')
  vmm.write('{"QMP": {}}\n{"return": {}}\n{"event": "RESUME"}\n{"retu')
  vmm.write('rn": 1}\n{"event": "STOP"}\n{"error": {"class": "X", "desc": "no such thing"}}\n')
  assert.equal(await one, 1)
  await assert.rejects(two, /QEMU refused: no such thing/)
  assert.equal((await event).event, 'STOP')
  const three = qmp.execute('three')
  vmm.destroy()
  await assert.rejects(three, (error: PyroError) => error.code === 'vmm_exited')
  await assert.rejects(qmp.execute('four'), (error: PyroError) => error.code === 'vmm_exited')
})

verifies('machine.garbage', 'what is no JSON, no object or has no end closes the connection', async () => {
  for (const garbage of ['garbage\n', '[1]\n', 'null\n', '"return"\n', Buffer.alloc(5_000_000, 'x')]) {
    const { host, vmm } = await qmpPair()
    vmm.on('error', () => {})
    const qmp = openQmp(host)
    const waiting = qmp.execute('one')
    vmm.write(garbage)
    await assert.rejects(waiting, (error: PyroError) => error.code === 'vmm_exited')
    vmm.destroy()
  }
})
