import assert from 'node:assert/strict'
import { mkdir, open, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { ensureEnvironment, pruneEnvironments } from '../../../src/engine/environment/environment.ts'
import { findEntry } from '../../../src/engine/environment/catalogue.ts'
import { installDirectory, manifestName, platformDirectory } from '../../../src/engine/environment/installed.ts'
import { lockFile } from '../../../src/engine/environment/install.ts'
import { inspectEnvironment } from '../../../src/engine/environment/operations.ts'
import { type Paths, resolvePaths } from '../../../src/host/paths.ts'
import { fileLock } from '../../../src/host/program.ts'
import { verifies } from '../../behaviours/promises.ts'
import { temporaryDirectory } from '../temporary.ts'

const entry = findEntry('debian:12-base')
const content = 'the content of an image'
const digest = 'sha256:d9ba8add8c32e8fc9afb7476584bf8ad86f14b4bb88dc4b31e1f21f4a8a69f7f'

async function emptyCache(): Promise<Paths> {
  const paths = resolvePaths({ XDG_CACHE_HOME: await temporaryDirectory(), PYRO_PROGRAMS_DIR: resolvePaths().programs })
  await mkdir(platformDirectory(paths), { recursive: true })
  return paths
}

/** An installed environment with an image that no guest would take. */
async function installFake(paths: Paths, directory = installDirectory(paths, entry)): Promise<string> {
  await mkdir(directory)
  const image = join(directory, 'image.squashfs')
  await writeFile(image, `${content}padding`)
  const manifest = {
    catalog_version: '5.0.0',
    name: entry.name,
    version: entry.version,
    source: 'test',
    source_digest: digest,
    installed_at: 1,
    rootfs: 'image.squashfs',
    content_bytes: content.length,
  }
  await writeFile(join(directory, manifestName), JSON.stringify(manifest))
  return image
}

async function overwrite(path: string, text: string): Promise<void> {
  await using file = await open(path, 'r+')
  await file.write(text, 0)
}

test('an installed environment is used as it is', async () => {
  const paths = await emptyCache()
  const rootfsImage = await installFake(paths)
  assert.deepEqual(await ensureEnvironment(paths, entry.name), { name: entry.name, version: '1.0.0', digest, rootfsImage })
  const shown = await inspectEnvironment({ paths, env: {} }, { environment: entry.name })
  assert.deepEqual([shown.installed, shown.source_digest, shown.rootfs_image], [true, digest, rootfsImage])
})

verifies('env.digest', 'an image that changed is refused with both digests and a way out', async () => {
  const paths = await emptyCache()
  const image = await installFake(paths)
  await ensureEnvironment(paths, entry.name)
  await overwrite(image, 'THE')
  await assert.rejects(ensureEnvironment(paths, entry.name), (error: Error & { code?: string; hint?: string }) => {
    assert.equal(error.code, 'pull_failed')
    assert.match(error.message, new RegExp(`damaged: expected ${digest}, found sha256:[0-9a-f]{64}$`))
    assert.match(error.hint ?? '', /pyro env prune.*pyro env pull debian:12-base/)
    return true
  })
})

for (const [what, damage] of [
  ['without its image', (paths: Paths) => rm(join(installDirectory(paths, entry), 'image.squashfs'))],
  ['with a manifest that cannot be read', (paths: Paths) => writeFile(join(installDirectory(paths, entry), manifestName), '{')],
  ['with a truncated image', (paths: Paths) => writeFile(join(installDirectory(paths, entry), 'image.squashfs'), 'the')],
] as const) {
  test(`an environment ${what} is not installed`, async () => {
    const paths = await emptyCache()
    await installFake(paths)
    await damage(paths)
    const { installed } = await inspectEnvironment({ paths, env: {} }, { environment: entry.name })
    assert.equal(installed, false)
  })
}

test('prune removes what is partial, incomplete, unknown, outdated or damaged, and keeps the rest', async () => {
  const paths = await emptyCache()
  const at = (name: string) => join(platformDirectory(paths), name)
  await installFake(paths)
  await installFake(paths, at('debian_12-base-0.9.0'))
  await installFake(paths, at('fedora_40-1.0.0'))
  await overwrite(await installFake(paths, at('debian_12-1.0.0')), 'THE')
  await mkdir(at('debian_12-build-1.0.0'))
  await mkdir(at('.partial-debian_12-1.0.0-0123abcd'))
  await writeFile(join(at('.partial-debian_12-1.0.0-0123abcd'), 'file'), '')
  assert.deepEqual(await pruneEnvironments(paths), {
    deleted_environment_dirs: ['.partial-debian_12-1.0.0-0123abcd', 'debian_12-1.0.0', 'debian_12-base-0.9.0', 'debian_12-build-1.0.0', 'fedora_40-1.0.0'].map(at),
    count: 5,
  })
  const left = (await readdir(platformDirectory(paths))).filter((name) => !name.startsWith('.lock-'))
  assert.deepEqual(left, ['debian_12-base-1.0.0'])
  assert.equal((await pruneEnvironments(paths)).count, 0)
})

test('prune without a cache removes nothing and makes nothing', async () => {
  const cache = await temporaryDirectory()
  assert.equal((await pruneEnvironments(resolvePaths({ XDG_CACHE_HOME: cache }))).count, 0)
  assert.deepEqual(await readdir(cache), [])
})

test('prune leaves alone what another process installs right now', async () => {
  const paths = await emptyCache()
  const partial = join(platformDirectory(paths), '.partial-debian_12-base-1.0.0-0123abcd')
  await mkdir(partial)
  {
    await using _lock = await fileLock(paths, lockFile(paths, 'debian_12-base-1.0.0'))
    assert.equal((await pruneEnvironments(paths)).count, 0)
  }
  assert.deepEqual((await pruneEnvironments(paths)).deleted_environment_dirs, [partial])
})
