import assert from 'node:assert/strict'
import { appendFile, chmod, copyFile, cp, link, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { PyroError } from '../../../src/contract/errors.ts'
import { ensureBundle } from '../../../src/engine/bundle/bundle.ts'
import type { ProgressEvent } from '../../../src/contract/progress.ts'
import { type Paths, resolvePaths } from '../../../src/host/paths.ts'
import { temporaryDirectory } from '../temporary.ts'

const shared = resolvePaths()

before(async () => {
  await ensureBundle(shared)
})

/** A cache of its own, with the shared one's kernel in it unless told otherwise. */
async function privatePaths({ kernel = true } = {}): Promise<Paths> {
  const cache = await temporaryDirectory()
  const paths = { ...shared, cache, runtime: join(cache, 'runtime'), probes: join(cache, 'probes'), programs: join(cache, 'programs') }
  await mkdir(paths.programs)
  for (const name of ['pyro-agent', 'pyro-host']) await copyFile(join(shared.programs, name), join(paths.programs, name))
  if (kernel) {
    const { kernel: name } = JSON.parse(await readFile(join(shared.runtime, 'current.json'), 'utf8')) as { kernel: string }
    await cp(join(shared.runtime, name), join(paths.runtime, name), { recursive: true, filter: (path) => !path.endsWith('/vmlinux') })
    await link(join(shared.runtime, name, 'vmlinux'), join(paths.runtime, name, 'vmlinux'))
    await copyFile(join(shared.runtime, 'current.json'), join(paths.runtime, 'current.json'))
  }
  return paths
}

function recorder() {
  const events: ProgressEvent[] = []
  return { events, progress: (event: ProgressEvent) => void events.push(event) }
}

/** Makes a file one of its own: the kernel is a link to the shared cache's. */
async function unlinkFromShared(path: string): Promise<void> {
  if ((await stat(path)).nlink === 1) return
  await copyFile(path, `${path}.copy`)
  await rename(`${path}.copy`, path)
}

async function flipByte(path: string, position: number): Promise<void> {
  await using file = await open(path, 'r+')
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, position)
  await file.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, position)
}

test('a bundle holds an ELF kernel, an initramfs in newc format, the agent and a blank btrfs of 64 GiB', async () => {
  const bundle = await ensureBundle(shared)
  const start = async (path: string, bytes: number, position = 0) => {
    await using file = await open(path)
    return (await file.read(Buffer.alloc(bytes), 0, bytes, position)).buffer.toString('latin1')
  }
  assert.equal(await start(bundle.kernel, 4), '\x7fELF')
  assert.equal(await start(bundle.initramfs, 6), '070701')
  assert.equal(await start(bundle.agent, 4), '\x7fELF')
  assert.equal(await start(bundle.blankDisk, 8, 0x10040), '_BHRfS_M')
  const disk = await stat(bundle.blankDisk)
  assert.equal(disk.size, 64 * 1024 ** 3)
  assert.ok(disk.blocks * 512 < 16 << 20, `${disk.blocks} blocks`)
})

test('a bundle that is there is used without building anything', async () => {
  const { events, progress } = recorder()
  await ensureBundle(shared, { progress })
  assert.deepEqual(events, [])
})

test('a bundle that is there costs a few milliseconds', async () => {
  const started = performance.now()
  for (let i = 0; i < 20; i++) await ensureBundle(shared)
  const each = (performance.now() - started) / 20
  assert.ok(each < 20, `${each} ms`)
})

test('another agent makes another bundle of the same kernel', async () => {
  const paths = await privatePaths()
  const first = await ensureBundle(paths)
  await appendFile(join(paths.programs, 'pyro-agent'), 'x')
  const { events, progress } = recorder()
  const second = await ensureBundle(paths, { progress })
  assert.notEqual(second.key, first.key)
  assert.equal(second.manifest.parts.kernel.sha256, first.manifest.parts.kernel.sha256)
  assert.notEqual(second.manifest.parts.initramfs.sha256, first.manifest.parts.initramfs.sha256)
  assert.ok(!events.some(({ phase }) => phase === 'kernel'))
})

test('the same agent and kernel make the same initramfs', async () => {
  const bundle = await ensureBundle(await privatePaths())
  const other = await ensureBundle(shared)
  assert.equal(bundle.key, other.key)
  assert.equal(bundle.manifest.parts.initramfs.sha256, other.manifest.parts.initramfs.sha256)
})

test('two that want a bundle at once build it once', async () => {
  const paths = await privatePaths()
  const { events, progress } = recorder()
  const [one, two] = await Promise.all([ensureBundle(paths, { progress }), ensureBundle(paths, { progress })])
  assert.equal(one.directory, two.directory)
  assert.equal(events.filter(({ detail }) => detail?.startsWith('packing')).length, 1)
})

for (const part of ['kernel', 'initramfs', 'agent', 'blankDisk'] as const) {
  test(`a changed ${part} is refused with both digests and a way out`, async () => {
    const paths = await privatePaths()
    const bundle = await ensureBundle(paths)
    await unlinkFromShared(bundle[part])
    await chmod(bundle[part], 0o644)
    await flipByte(bundle[part], 70_000)
    await assert.rejects(ensureBundle(paths), (error) => {
      assert.ok(error instanceof PyroError)
      assert.equal(error.code, 'bundle_damaged')
      assert.match(error.message, /expected sha256 [0-9a-f]{64}, found [0-9a-f]{64}/)
      assert.ok(error.hint?.includes(bundle.directory))
      return true
    })
    await rm(bundle.directory, { recursive: true })
    assert.equal((await ensureBundle(paths)).key, bundle.key)
  })
}

test('a missing part is named', async () => {
  const paths = await privatePaths()
  const bundle = await ensureBundle(paths)
  await rm(bundle.initramfs)
  await assert.rejects(ensureBundle(paths), { code: 'bundle_damaged', message: `${bundle.initramfs} is missing` })
})

test('a given bundle is used as it is, whatever the agent', async () => {
  const { directory, key } = await ensureBundle(shared)
  const paths = { ...(await privatePaths({ kernel: false })), runtime: directory, runtimeGiven: true }
  await rm(join(paths.programs, 'pyro-agent'))
  assert.equal((await ensureBundle(paths)).key, key)
})

test('a given directory without a bundle is an error, and stays as it is', async () => {
  const empty = await temporaryDirectory()
  await assert.rejects(ensureBundle({ ...shared, runtime: empty, runtimeGiven: true }), { code: 'bundle_missing' })
  assert.deepEqual(await readdir(empty), [])
})

test('without an agent the error says how to build it', async () => {
  const paths = await privatePaths({ kernel: false })
  await rm(join(paths.programs, 'pyro-agent'))
  await assert.rejects(ensureBundle(paths), { code: 'bundle_missing', hint: 'run scripts/setup' })
})

test('a build that is canceled leaves nothing behind', async () => {
  const paths = await privatePaths({ kernel: false })
  const canceler = new AbortController()
  const build = ensureBundle(paths, { signal: canceler.signal, progress: () => canceler.abort() })
  await assert.rejects(build, { name: 'AbortError' })
  assert.deepEqual(await readdir(paths.runtime), ['.lock'])
})
