import assert from 'node:assert/strict'
import { chmodSync, cpSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, realpathSync, statSync, symlinkSync, writeFileSync, writeSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { findBundle } from '../../src/engine/bundle/bundle.ts'
import { resolvePaths } from '../../src/host/paths.ts'
import { ownCache } from '../behaviours/cache.ts'
import { pyro } from '../behaviours/command-line.ts'
import { environment, remains, temporaryHome } from '../behaviours/home.ts'
import { withoutPrivilege } from '../behaviours/privilege.ts'
import { verifies } from '../behaviours/promises.ts'
import { assertRefused, runTrue } from '../behaviours/refusal.ts'
import { temporaryDirectory } from '../engine/temporary.ts'

const home = temporaryHome()
const directory = await temporaryDirectory()
const at = (name: string) => join(directory, name)

/** A PATH on which everything is found but QEMU. */
function pathWithoutQemu(): string {
  const bin = at('bin')
  if (!existsSync(bin)) {
    mkdirSync(bin)
    for (const name of ['sh', 'dirname', 'find', 'readlink', 'setpriv', 'cp']) symlinkSync(realpathSync(`/usr/bin/${name}`), join(bin, name))
  }
  return bin
}

verifies(['errors.vmm-missing', 'errors.form'], 'without QEMU the program and how to install it are named', async () => {
  const refusal = { code: 'vmm_missing', error: /qemu-system-x86_64 is not on PATH/, hint: /apt-get install qemu-system-x86/ }
  await assertRefused(home, runTrue(), refusal, { env: { PATH: pathWithoutQemu() } })
  assert.deepEqual(remains(home), [])
})

verifies(['doctor.boots', 'errors.vmm-missing'], 'doctor without QEMU is a report that says FAIL and why', async () => {
  const options = { env: { PATH: pathWithoutQemu() } }
  const { code, stdout } = await pyro(home, ['doctor', '--environment', environment, '--json'], options)
  const report = JSON.parse(stdout.toString()) as { runtime_ok: boolean; vmm: string | null; issues: string[]; vmms: { status: string }[] }
  assert.deepEqual([code, report.runtime_ok, report.vmm], [0, false, null])
  assert.match(report.issues.join('\n'), /qemu-system-x86_64 is not on PATH.*apt-get install/)
  const human = await pyro(home, ['doctor', '--environment', environment], options)
  assert.match(human.stdout.toString(), /^Runtime: FAIL$/m)
})

verifies('doctor.boots', 'doctor says PASS behind a guest that ran, with its kernel and VMM', async () => {
  const { code, stdout } = await pyro(home, ['doctor', '--environment', environment])
  assert.equal(code, 0)
  assert.match(stdout.toString(), /^Runtime: PASS\n.*a debian:12-base guest ran on qemu-\w+, kernel \d+\.\d+/m)
  assert.match(stdout.toString(), /qemu-\w+ \[pass\] booted a guest just now/)
  assert.deepEqual(remains(home), [])
})

verifies('doctor.boots', 'doctor does not say PASS when nothing was booted', async () => {
  const { code, stdout } = await pyro(home, ['doctor', '--environment', environment, '--json'], { env: { PYRO_ENVIRONMENT_CACHE_DIR: at('none') } })
  const report = JSON.parse(stdout.toString()) as { runtime_ok: boolean; checks: { status: string }[]; vmms: { status: string }[] }
  assert.deepEqual([code, report.runtime_ok, report.checks.map(({ status }) => status)], [0, false, ['unknown', 'unknown']])
  assert.ok(!report.vmms.some(({ status }) => status === 'pass'))
})

for (const file of ['vmlinux', 'initramfs', 'pyro-agent']) {
  verifies(['errors.bundle-damaged', 'errors.form'], `a bundle whose ${file} has another byte is refused with both checksums`, async () => {
    const bundle = await findBundle(resolvePaths())
    assert.ok(bundle)
    const copy = at(`bundle-${file}`)
    cpSync(bundle.directory, copy, { recursive: true, filter: (source) => !source.endsWith('disk.btrfs') })
    symlinkSync(bundle.blankDisk, join(copy, 'disk.btrfs'))
    const damaged = join(copy, file)
    chmodSync(damaged, 0o600)
    const descriptor = openSync(damaged, 'r+')
    const middle = Math.floor(statSync(damaged).size / 2)
    const [byte = 0] = readFileSync(damaged).subarray(middle, middle + 1)
    writeSync(descriptor, Buffer.from([byte ^ 1]), 0, 1, middle)
    const sum = '[0-9a-f]{64}'
    const refusal = { code: 'bundle_damaged', error: new RegExp(`${file} does not match its checksum: expected sha256 ${sum}, found ${sum}`), hint: /PYRO_RUNTIME_BUNDLE_DIR/ }
    await assertRefused(home, runTrue(), refusal, { env: { PYRO_RUNTIME_BUNDLE_DIR: copy, XDG_CACHE_HOME: ownCache() } })
    assert.deepEqual(remains(home), [])
  })
}

verifies('errors.bundle-damaged', 'a bundle that is not there, or whose manifest is no manifest, is refused', async () => {
  mkdirSync(at('empty'))
  await assertRefused(home, runTrue(), { code: 'bundle_missing', error: /empty\/manifest\.json/, hint: /PYRO_RUNTIME_BUNDLE_DIR/ }, { env: { PYRO_RUNTIME_BUNDLE_DIR: at('empty') } })
  mkdirSync(at('garbage'))
  writeFileSync(at('garbage/manifest.json'), '{"key": 1}')
  await assertRefused(home, runTrue(), { code: 'bundle_damaged', error: /garbage\/manifest\.json/, hint: /./ }, { env: { PYRO_RUNTIME_BUNDLE_DIR: at('garbage') } })
})

verifies(['errors.not-writable', 'errors.form'], 'a state directory that cannot be written is named', async () => {
  mkdirSync(at('read-only-state'), { mode: 0o500 })
  const refusal = { code: 'not_writable', error: /read-only-state/, hint: /XDG_STATE_HOME/ }
  await assertRefused(home, runTrue(), refusal, { env: { XDG_STATE_HOME: at('read-only-state') }, through: withoutPrivilege() })
})

verifies('errors.not-writable', 'a cache that cannot be written is named when something has to be written', async () => {
  const cache = ownCache('seeds')
  mkdirSync(at('project'))
  chmodSync(join(cache, 'pyro-mcp'), 0o500)
  const refusal = { code: 'not_writable', error: /pyro-mcp\/seeds/, hint: /XDG_CACHE_HOME/ }
  await assertRefused(home, runTrue('--seed-path', at('project')), refusal, { env: { XDG_CACHE_HOME: cache }, through: withoutPrivilege() })
  chmodSync(join(cache, 'pyro-mcp'), 0o700)
  assert.deepEqual(remains(home), [])
})

verifies('errors.not-writable', 'an empty cache that cannot be written is named', async () => {
  mkdirSync(at('read-only-cache'), { mode: 0o500 })
  const refusal = { code: 'not_writable', error: /read-only-cache/, hint: /XDG_CACHE_HOME/ }
  await assertRefused(home, runTrue(), refusal, { env: { XDG_CACHE_HOME: at('read-only-cache') }, through: withoutPrivilege() })
})

verifies(['errors.path-too-long', 'errors.form'], 'a directory for sockets that is too deep is refused by name', async () => {
  const deep = at('x'.repeat(90))
  mkdirSync(deep)
  await assertRefused(home, runTrue(), { code: 'path_too_long', error: /x{90}.*107/, hint: /XDG_RUNTIME_DIR/ }, { env: { XDG_RUNTIME_DIR: deep } })
  const left = existsSync(join(deep, 'pyro-mcp/m')) ? readdirSync(join(deep, 'pyro-mcp/m')) : []
  assert.deepEqual([left, remains(home)], [[], []])
})

/** Words that run a program with a small file system of its own over a directory, gone with the program. */
function withFullDisk(mountPoint: string, size: string): string[] {
  return ['unshare', '--mount', 'sh', '-c', `mount -t tmpfs -o size=${size} none "$0" && exec "$@"`, mountPoint]
}

const notRoot = process.getuid?.() !== 0 && 'only root can mount a small disk'

verifies(['errors.no-space', 'errors.form'], 'a full disk under the state directory is told as such', { skip: notRoot }, async () => {
  mkdirSync(at('full'))
  const refusal = { code: 'no_space', error: /no space left.*full/, hint: /free some disk space/ }
  await assertRefused(home, runTrue(), refusal, { env: { XDG_STATE_HOME: at('full') }, through: withFullDisk(at('full'), '64k') })
  assert.deepEqual(readdirSync(at('full')), [])
})

verifies('errors.no-space', 'a disk too small for a seed is told as such', { skip: notRoot }, async () => {
  mkdirSync(at('large'))
  writeFileSync(at('large/noise'), Buffer.from(Array.from({ length: 1 << 20 }, () => Math.random() * 256)))
  const cache = ownCache('seeds')
  mkdirSync(join(cache, 'pyro-mcp/seeds'))
  const refusal = { code: 'no_space', error: /no space left/, hint: /free some disk space/ }
  await assertRefused(home, runTrue('--seed-path', at('large')), refusal, { env: { XDG_CACHE_HOME: cache }, through: withFullDisk(join(cache, 'pyro-mcp/seeds'), '256k') })
  assert.deepEqual(remains(home), [])
  await rm(at('large'), { recursive: true })
})
