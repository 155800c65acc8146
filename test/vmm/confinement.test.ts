import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chownSync, readFileSync, readlinkSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { diagnose } from '../../src/engine/doctor/doctor.ts'
import { confinement } from '../../src/vmm/confinement.ts'
import { pyro } from '../behaviours/command-line.ts'
import { launch } from '../behaviours/guest.ts'
import { environment, temporaryHome, until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { look, place, probe, type Place, underMonitor, users } from './confined.ts'

const home = temporaryHome()
const report = await diagnose(home.engine, { environment })
const holds = (name: string) => report.confinement.find((row) => row.name === name)?.status === 'pass'
const why = (name: string) => report.confinement.find((row) => row.name === name)?.details
/** What doctor says cannot hold on this host is not tested, and the test says why. */
const where = (name: string) => (holds(name) ? {} : { skip: why(name) ?? name })

const servers: Server[] = []
after(() => {
  for (const server of servers) server.close()
})

async function listen(path: string | undefined): Promise<string> {
  const server = createServer()
  servers.push(server)
  if (path === undefined) server.listen(0, '127.0.0.1')
  else server.listen(path)
  await once(server, 'listening')
  const address = server.address()
  return typeof address === 'object' ? `tcp 127.0.0.1:${address?.port}` : `unix ${path?.replace('\0', '@')}`
}

/** A file of the machine's user. */
function file(at: Place, name: string): string {
  const path = join(at.directory, name)
  writeFileSync(path, 'content', { mode: 0o600 })
  if (at.user !== process.getuid?.()) chownSync(path, at.user, at.user)
  return path
}

for (const user of users) {
  verifies('confine.network', `as ${user.name}: neither the network nor a socket of the host is in reach`, where('network'), async () => {
    await using at = place(user.id)
    const dial = [await listen(undefined), await listen(`\0pyro-test-${process.pid}-${user.id}`), await listen(join(at.directory, 'socket'))]
    const { dial: results, call } = await probe(at, confinement({ memMib: 64 }), { dial })
    assert.deepEqual(Object.keys(results).sort(), dial.sort())
    for (const [address, result] of Object.entries(results)) assert.notEqual(result, 'ok', address)
    assert.equal(call['socket'], 'address family not supported by protocol')
  })

  verifies('confine.files', `as ${user.name}: no file of the host is seen but what the machine needs`, where('files'), async () => {
    await using at = place(user.id)
    const own = file(at, 'own')
    const secrets = ['/etc/shadow', '/etc/passwd', homedir(), '/home', '/proc', '/sys', '/run', '/usr/bin/sh', join(at.directory, 'other'), home.directory]
    file(at, 'other')
    const { see, root } = await probe(at, confinement({ read: [own], memMib: 64 }), { see: [...secrets, own] })
    assert.deepEqual(see, { ...Object.fromEntries(secrets.map((path) => [path, `lstat ${path}: no such file or directory`])), [own]: 'ok' })
    assert.deepEqual(root.filter((name) => !['dev', 'etc', 'lib', 'lib64', 'tmp', 'usr'].includes(name)), at.directory.startsWith('/tmp/') ? [] : [at.directory.split('/')[1]])
  })

  verifies('confine.processes', `as ${user.name}: no process of the host is found`, where('processes'), async () => {
    await using at = place(user.id)
    const { pid, signal, host_name } = await probe(at, confinement({ memMib: 64 }), { signal: [process.pid, process.ppid] })
    assert.deepEqual([pid, host_name], [1, 'vmm'])
    assert.deepEqual(signal, { [process.pid]: 'no such process', [process.ppid]: 'no such process' })
  })

  verifies('confine.rights', `as ${user.name}: no capabilities, none to gain, and no system call that no VMM needs`, async () => {
    await using at = place(user.id)
    const answers = await probe(at, confinement({ memMib: 64 }), {})
    assert.deepEqual([answers.capabilities, answers.no_new_privs, answers.seccomp, answers.core, answers.files, answers.death_signal], ['0', true, 2, 0, 1024, 9])
    for (const [name, result] of Object.entries(answers.call)) assert.notEqual(result, 'ok', name)
  })

  verifies('confine.template', `as ${user.name}: a file that is lent can be opened for writing and not be written to`, where('template memory'), async () => {
    await using at = place(user.id)
    const [lent, written] = [file(at, 'lent'), file(at, 'written')]
    const { write } = await probe(at, confinement({ lend: [lent], write: [written], memMib: 64 }), { write: [lent, written] })
    assert.deepEqual(write, { [lent]: 'write: bad file descriptor', [written]: 'ok' })
    assert.deepEqual([readFileSync(lent, 'utf8'), readFileSync(written, 'utf8')], ['content', '!ontent'])
  })

  verifies(['confine.dies', 'confine.template', 'confine.rights'], `as ${user.name}: QEMU itself runs confined, and dies with its monitor`, where('files'), async () => {
    await using at = place(user.id)
    const memory = file(at, 'memory')
    writeFileSync(memory, Buffer.alloc(64 << 20))
    const options = `-nodefaults -display none -S -M microvm,memory-backend=ram -m 64 -object memory-backend-file,id=ram,size=64M,mem-path=${memory},share=off`
    await using vmm = await underMonitor(at, ['qemu-system-x86_64', ...options.split(' ')], confinement({ lend: [memory], memMib: 64 }))
    await until('its memory', () => openFiles(vmm.pid).includes(memory))
    assertConfined(vmm.pid, user.id)
    process.kill(vmm.monitor, 'SIGKILL')
    await until('the end of QEMU', () => !running(vmm.pid))
  })
}

verifies('confine.user', 'each VMM of root has a user of its own', where('user'), async () => {
  await using at = place(0)
  const [one, two] = [await probe(at, confinement({ memMib: 64 }), {}), await probe(at, confinement({ memMib: 64 }), {})]
  for (const { user, group, groups } of [one, two]) {
    assert.ok(user >= 0x7000_0000 && user < 0x8000_0000)
    assert.deepEqual([group, groups ?? []], [user, []])
  }
  assert.notEqual(one.user, two.user)
})

verifies(['confine.files', 'confine.rights', 'confine.template', 'confine.user'], 'the VMM of a fork is confined, with the memory of its template open for reading only', where('files'), async () => {
  const machine = await launch(home)
  assertConfined(machine.pid, process.getuid?.() ?? 0)
  const { mounts } = look(machine.pid)
  assert.deepEqual(mounts.filter(({ readOnly }) => !readOnly), [])
  for (const { path } of mounts) assert.match(path, /^\/(usr\/(lib|lib64|libexec|share)|lib|lib64|etc\/ld\.so\.cache|dev\/|.*qemu|.*\/(vmlinux|initramfs|memory)$|$)/)
  const memory = readdirSync(`/proc/${machine.pid}/fd`).filter((fd) => readlinkSync(`/proc/${machine.pid}/fd/${fd}`).endsWith('/memory'))
  if (holds('template memory')) for (const fd of memory) assert.match(readFileSync(`/proc/${machine.pid}/fdinfo/${fd}`, 'utf8'), /^flags:\s+\d*0$/m)
})

verifies('confine.doctor', 'doctor shows the table, and a reason for each thing that does not hold', async () => {
  assert.deepEqual(report.confinement.map(({ name }) => name), ['network', 'files', 'processes', 'user', 'capabilities', 'system calls', 'template memory', 'limits', 'lifetime'])
  for (const { status, details } of report.confinement) {
    assert.ok(status === 'pass' || status === 'fail')
    assert.ok(details.length > 10)
  }
  const { stdout } = await pyro(home, ['doctor', '--environment', environment])
  for (const { name, status } of report.confinement) assert.match(stdout.toString(), new RegExp(`^  ${name} +${status} `, 'm'))
})

function assertConfined(pid: number, user: number): void {
  const { field, namespaces } = look(pid)
  assert.deepEqual(namespaces, ['mnt', 'net', 'pid', 'ipc', 'uts', 'cgroup'])
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.deepEqual(field(set), ['0000000000000000'], set)
  assert.deepEqual([field('NoNewPrivs'), field('Seccomp'), field('NSpid').at(-1)], [['1'], ['2'], '1'])
  const id = Number(field('Uid')[0])
  assert.deepEqual(field('Uid'), Array<string>(4).fill(String(id)))
  if (user === 0 && holds('user')) assert.ok(id >= 0x7000_0000)
  else assert.equal(id, user)
}

function running(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

function openFiles(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
  } catch {
    return []
  }
}
