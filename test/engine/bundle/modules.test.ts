import assert from 'node:assert/strict'
import { copyFile, mkdir, readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { before, test } from 'node:test'
import { ensureBundle } from '../../../src/engine/bundle/bundle.ts'
import { loadOrder } from '../../../src/engine/bundle/modules.ts'
import { resolvePaths } from '../../../src/host/paths.ts'
import { temporaryDirectory } from '../temporary.ts'

const paths = resolvePaths()
const tree = await temporaryDirectory()

before(async () => {
  await ensureBundle(paths)
  const kernel = (await readdir(paths.runtime)).find((name) => name.startsWith('kernel-')) ?? ''
  const modules = join(paths.runtime, kernel, 'modules')
  for (const name of await readdir(modules)) {
    const target = join(tree, 'lib/modules/0/kernel/drivers', name)
    await mkdir(dirname(target), { recursive: true })
    await copyFile(join(modules, name), target)
  }
})

test('a module comes after all that it depends on, and once', async () => {
  const order = (await loadOrder(tree, ['overlay', 'btrfs', 'virtio_console', 'virtio_blk'])).map((path) => basename(path, '.ko'))
  const before = (first: string, second: string) => assert.ok(order.indexOf(first) !== -1 && order.indexOf(first) < order.indexOf(second), `${first} before ${second} in ${order}`)
  before('virtio', 'virtio_console')
  before('virtio_ring', 'virtio_blk')
  before('libcrc32c', 'btrfs')
  before('zstd_compress', 'btrfs')
  before('raid6_pq', 'btrfs')
  assert.equal(new Set(order).size, order.length)
})

test('names with - and _ are the same module', async () => {
  assert.deepEqual(await loadOrder(tree, ['virtio_rng']), await loadOrder(tree, ['virtio-rng']))
})

test('a module that the kernel does not have is named', async () => {
  await assert.rejects(loadOrder(tree, ['no_such_module']), /no_such_module/)
})
