import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { before, test } from 'node:test'
import { promisify } from 'node:util'
import * as contract from '../../../src/contract/environments.ts'
import { findEntry } from '../../../src/engine/environment/catalogue.ts'
import { pullEnvironment as pull } from '../../../src/engine/environment/environment.ts'
import { lockFile } from '../../../src/engine/environment/install.ts'
import { installName, platformDirectory } from '../../../src/engine/environment/installed.ts'
import { pruneEnvironments, pullEnvironment } from '../../../src/engine/environment/operations.ts'
import { type Paths, resolvePaths } from '../../../src/host/paths.ts'
import { fileLock } from '../../../src/host/program.ts'
import { verifies } from '../../behaviours/promises.ts'
import { temporaryDirectory } from '../temporary.ts'

/** The only tests that build an environment, which takes some 20 seconds. */

const execute = promisify(execFile)
const shared = { paths: resolvePaths(), env: {} }
let image: string

before(async () => {
  const pulled = contract.pullEnvironment.output.parse(await pullEnvironment(shared, { environment: 'debian:12-base' }))
  image = pulled.rootfs_image
})

async function fileInImage(path: string): Promise<string> {
  return (await execute('unsquashfs', ['-cat', image, path])).stdout
}

async function names(...paths: string[]): Promise<string[]> {
  const { stdout } = await execute('unsquashfs', ['-ls', '-d', '', image, ...paths], { maxBuffer: 1 << 26 })
  return stdout.split('\n').filter(Boolean)
}

verifies('env.digest', 'an image is named by its digest and has the size of every drive', async () => {
  const [file = ''] = (await readdir(join(image, '..'))).filter((name) => name.endsWith('.squashfs'))
  const manifest = JSON.parse(await readFile(join(image, '../environment.json'), 'utf8')) as { source_digest: string; content_bytes: number }
  assert.equal(file, `${manifest.source_digest.replace(':', '-')}.squashfs`)
  const { size, blocks } = await stat(image)
  assert.equal(size, 64 * 1024 ** 3)
  assert.ok(blocks * 512 <= manifest.content_bytes + (1 << 20))
})

test('a login shell reads nothing that starts a process', async () => {
  const profile = await fileInImage('etc/profile')
  assert.doesNotMatch(profile.replace(/^\s*#.*$/gm, ''), /`|\$\(|\bid\b/)
  assert.doesNotMatch(await fileInImage('root/.profile'), /mesg/)
  assert.match(profile, /PATH:=\/usr\/local\/sbin:/)
})

test('the image has nothing of the host that built it', async () => {
  assert.equal(await fileInImage('etc/hostname'), 'pyro\n')
  assert.equal(await fileInImage('etc/resolv.conf'), '')
})

test('the image has no documentation but the licences, and its root is not writable for all', async () => {
  const files = await names('usr/share/doc', 'usr/share/man')
  assert.ok(files.some((name) => name.endsWith('/copyright')))
  assert.ok(!files.some((name) => /changelog|\.gz$/.test(name)))
  const { stdout } = await execute('unsquashfs', ['-lln', '-max-depth', '1', image])
  assert.match(stdout.split('\n')[0] ?? '', /^drwxr-xr-x 0\/0 /)
})

async function privatePaths(): Promise<Paths> {
  return { ...shared.paths, environments: await temporaryDirectory() }
}

/** A process of its own that pulls into `paths`. */
function puller(paths: Paths) {
  const module = new URL('../../../src/engine/environment/environment.ts', import.meta.url)
  const source = `
    const { pullEnvironment } = await import(${JSON.stringify(module.href)})
    await pullEnvironment(${JSON.stringify(paths)}, 'debian:12-base', { progress: ({ detail }) => console.log(detail) })
  `
  return spawn(process.execPath, ['--input-type=module', '--eval', source], { stdio: ['ignore', 'pipe', 'inherit'] })
}

verifies('env.whole-or-nothing', 'a pull that is killed leaves only what prune removes; then two at once build one environment', async () => {
  const paths = await privatePaths()
  const child = puller(paths)
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'unpacking') child.kill('SIGKILL')
  }
  const left = await readdir(platformDirectory(paths))
  assert.equal(left.filter((name) => name.startsWith('.partial-')).length, 1)
  assert.equal(left.filter((name) => !name.startsWith('.')).length, 0)
  await (await fileLock(paths, lockFile(paths, installName(findEntry('debian:12-base')))))[Symbol.asyncDispose]() // its holder goes a moment after the pull
  assert.equal((await pruneEnvironments({ paths, env: {} }, {})).count, 1)
  assert.deepEqual((await readdir(platformDirectory(paths))).filter((name) => !name.startsWith('.lock-')), [])

  const details: string[] = []
  const progress = ({ detail = '' }) => void details.push(detail)
  const [one, two] = await Promise.all([pull(paths, 'debian:12-base', { progress }), pull(paths, 'debian:12-base', { progress })])
  assert.equal(one.rootfs_image, two.rootfs_image)
  assert.equal(details.filter((detail) => detail === 'unpacking').length, 1)
  assert.ok(details.some((detail) => detail.startsWith('waiting for another')))
})

verifies('env.whole-or-nothing', 'a pull that is canceled ends what it started and leaves nothing', async () => {
  const paths = await privatePaths()
  const canceler = new AbortController()
  const pulling = pull(paths, 'debian:12-base', { signal: canceler.signal, progress: ({ detail }) => detail === 'downloading packages' && canceler.abort() })
  await assert.rejects(pulling, { name: 'AbortError' })
  assert.deepEqual((await readdir(platformDirectory(paths))).filter((name) => !name.startsWith('.lock-')), [])
})
