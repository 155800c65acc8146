import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { resolveMachine } from '../../../src/engine/machine/launch.ts'
import { findTemplate, manifestOf, type Template, templateAt } from '../../../src/engine/template/manifest.ts'
import { ownCache } from '../../behaviours/cache.ts'
import { launch, output } from '../../behaviours/guest.ts'
import { environment, temporaryHome } from '../../behaviours/home.ts'
import { verifies } from '../../behaviours/promises.ts'

/** The template of the ordinary cache, copied, so that it can be damaged. */
const ordinary = await resolveMachine(temporaryHome().engine, { environment, shape: { vcpuCount: 1, memMib: 1024 } })
const { source } = ordinary

function copiedTemplate(): { home: ReturnType<typeof temporaryHome>; template: Template } {
  const home = temporaryHome({ XDG_CACHE_HOME: ownCache('templates') })
  const directory = join(home.engine.paths.templates, ordinary.template.key)
  mkdirSync(home.engine.paths.templates, { mode: 0o700 })
  execFileSync('cp', ['-r', '--sparse=always', ordinary.template.directory, directory])
  const template = templateAt(directory, ordinary.template.key, ordinary.template.tscKhz)
  writeFileSync(join(directory, 'manifest.json'), manifestOf(source, template))
  return { home, template }
}

for (const [what, damage] of [
  ['whose memory was cut', ({ memory }) => truncateSync(memory, 4096)],
  ['whose memory was written to', ({ memory }) => utimesSync(memory, 1, 1)],
  ['without device state', ({ state }) => rmSync(state)],
  ['with an empty disk', ({ disk }) => truncateSync(disk, 0)],
  ['whose manifest is cut', ({ directory }) => truncateSync(join(directory, 'manifest.json'), 20)],
  ['without a lock', ({ lock }) => rmSync(lock)],
] as [string, (template: Template) => void][]) {
  verifies('errors.template-damaged', `a template ${what} is not used`, () => {
    const { home, template } = copiedTemplate()
    const { paths } = home.engine
    assert.ok('template' in findTemplate(paths, source))
    for (const name of readdirSync(template.directory)) chmodSync(join(template.directory, name), 0o600)
    damage(template)
    assert.ok('missing' in findTemplate(paths, source))
    rmSync(template.directory, { recursive: true })
  })
}

verifies('errors.template-damaged', 'a machine of a damaged template starts from one built anew, once', async () => {
  const { home, template } = copiedTemplate()
  chmodSync(template.memory, 0o600)
  truncateSync(template.memory, 100_000_000)
  const machine = await launch(home)
  assert.equal(await output(machine, 'echo works'), 'works\n')
  const { ino, size } = statSync(template.memory)
  assert.equal(size, 1024 ** 3)
  await launch(home)
  assert.equal(statSync(template.memory).ino, ino)
  assert.deepEqual(
    readdirSync(home.engine.paths.templates).filter((name) => !name.endsWith('.lock')),
    [template.key],
  )
})

verifies('errors.template-damaged', 'a template serves only what it was made from', async () => {
  const { paths } = temporaryHome({ XDG_CACHE_HOME: ownCache() }).engine
  for (const other of [
    { ...source, bundleKey: 'other' },
    { ...source, shape: { ...source.shape, memMib: 999 } },
    { ...source, shape: { ...source.shape, vcpuCount: 7 } },
    { ...source, environment: { ...source.environment, digest: 'sha256:other' } },
    { ...source, vmm: { ...source.vmm, identity: 'QEMU 99' } },
    { ...source, kernel: { ...source.kernel, tscKhz: source.kernel.tscKhz * 1.01 } },
  ]) {
    assert.ok('missing' in findTemplate(paths, other))
  }
  assert.ok('template' in findTemplate(paths, source))
})
