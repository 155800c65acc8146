import { createHash, randomBytes } from 'node:crypto'
import { copyFile, link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { noSpace, PyroError } from '../../contract/errors.ts'
import type { Paths } from '../../host/paths.ts'
import { fileLock } from '../../host/program.ts'
import type { CallOptions } from '../engine.ts'
import { blankDiskContentBytes, writeBlankDisk } from './blank-disk.ts'
import { writeInitramfs } from './initramfs.ts'
import { fetchKernel, type Kernel } from './kernel.ts'
import { type Bundle, type BundleManifest, openBundle, type Part, type PartName, verifyBundle } from './manifest.ts'
import { guestModules } from './modules.ts'
import { fileDigest, rememberedDigest } from './remembered-digest.ts'

export type { Bundle } from './manifest.ts'

/** Raised when a bundle of the same kernel and agent is made in another way. */
const recipeVersion = 1
/** Older ones serve a checkout that goes back and forth between agents. */
const bundlesKept = 4

interface EnsureOptions extends CallOptions {
  /** Look for a newer kernel, which otherwise happens only when there is none. */
  refresh?: boolean
}

/** Names what was built last, so that nothing has to be looked up to find it again. */
interface Current {
  /** Directory of the kernel, in `Paths.runtime`. */
  kernel: string
  recipe: string
}

/** The runtime bundle, verified; built when there is none for this agent. Only a missing kernel needs the network. */
export async function ensureBundle(paths: Paths, options: EnsureOptions = {}): Promise<Bundle> {
  const bundle = (!options.refresh && (await findBundle(paths))) || (await buildUnderLock(paths, options).catch(fullDisk(paths.runtime)))
  await verifyBundle(paths, bundle)
  return bundle
}

/** A program that finds the disk full does not say where. */
function fullDisk(directory: string): (error: unknown) => never {
  return (error) => {
    throw error instanceof PyroError && error.code === 'no_space' ? noSpace(directory, error) : error
  }
}

/** The runtime bundle that is there already, unverified. */
export async function findBundle(paths: Paths): Promise<Bundle | undefined> {
  if (paths.runtimeGiven) return openBundle(paths.runtime)
  const current = await readCurrent(paths)
  if (!current) return undefined
  const directory = join(paths.runtime, bundleKey(current.kernel, await agentDigest(paths)))
  return (await exists(directory)) ? openBundle(directory) : undefined
}

async function buildUnderLock(paths: Paths, options: EnsureOptions): Promise<Bundle> {
  if (paths.runtimeGiven) return openBundle(paths.runtime)
  const agent = await agentDigest(paths)
  await mkdir(paths.runtime, { recursive: true, mode: 0o700 })
  await using _lock = await fileLock(paths, join(paths.runtime, '.lock'), {
    signal: options.signal,
    onWait: () => options.progress?.({ phase: 'bundle', detail: 'waiting for another pyro that builds it' }),
  })
  const built = options.refresh ? undefined : await findBundle(paths)
  if (built) return built
  await removeLeftovers(paths)
  const kernel = await ensureKernel(paths, options)
  const key = bundleKey(kernel, agent)
  const directory = join(paths.runtime, key)
  if (!(await exists(directory))) {
    options.progress?.({ phase: 'bundle', detail: 'packing kernel, agent and modules' })
    await installed(paths, key, (partial) => writeBundle(paths, partial, kernel, key, options.signal))
  }
  await removeOldBundles(paths, key)
  return openBundle(directory)
}

/** Name of the kernel's directory; fetched when there is none or a newer one is asked for. */
async function ensureKernel(paths: Paths, options: EnsureOptions): Promise<string> {
  const current = await readCurrent(paths)
  if (current && !options.refresh) return current.kernel
  const recipe = kernelRecipe()
  let name = ''
  const partial = join(paths.runtime, `.partial-kernel-${randomBytes(4).toString('hex')}`)
  await mkdir(partial, { mode: 0o700 })
  try {
    const kernel = await fetchKernel(partial, options)
    name = `kernel-${kernel.version}-${recipe}`
    await rm(join(partial, 'scratch'), { recursive: true })
    await writeFile(join(partial, 'kernel.json'), JSON.stringify(kernel, null, 2))
    if (!(await exists(join(paths.runtime, name)))) await rename(partial, join(paths.runtime, name))
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
  const pointer = join(paths.runtime, 'current.json')
  await writeFile(`${pointer}.partial`, JSON.stringify({ kernel: name, recipe } satisfies Current))
  await rename(`${pointer}.partial`, pointer)
  return name
}

async function readCurrent(paths: Paths): Promise<Current | undefined> {
  try {
    const current = JSON.parse(await readFile(join(paths.runtime, 'current.json'), 'utf8')) as Current
    const usable = current.recipe === kernelRecipe() && (await exists(join(paths.runtime, current.kernel, 'kernel.json')))
    return usable ? current : undefined
  } catch {
    return undefined
  }
}

async function writeBundle(paths: Paths, directory: string, kernelName: string, key: string, signal?: AbortSignal): Promise<void> {
  const from = join(paths.runtime, kernelName)
  const kernel = JSON.parse(await readFile(join(from, 'kernel.json'), 'utf8')) as Kernel
  const at = (name: string) => join(directory, name)
  await link(join(from, 'vmlinux'), at('vmlinux'))
  await copyFile(agentPath(paths), at('pyro-agent'))
  await writeInitramfs(at('initramfs'), at('pyro-agent'), from, kernel.modules)
  await writeBlankDisk(at('disk.btrfs'), signal)
  const parts: Record<PartName, Part> = {
    kernel: await part(directory, 'vmlinux'),
    initramfs: await part(directory, 'initramfs'),
    agent: await part(directory, 'pyro-agent'),
    disk: await part(directory, 'disk.btrfs', blankDiskContentBytes),
  }
  const manifest: BundleManifest = {
    bundle_version: `${kernel.version}+${key.slice(0, 12)}`,
    platform: 'linux-x86_64',
    key,
    component_versions: { kernel: kernel.version, kernel_package: kernel.package, agent: parts.agent.sha256.slice(0, 12), recipe: String(recipeVersion) },
    capabilities: { vm_boot: true, guest_exec: true, guest_network: false },
    parts,
  }
  await writeFile(at('manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

async function part(directory: string, path: string, bytes?: number): Promise<Part> {
  const covered = bytes ?? (await stat(join(directory, path))).size
  return { path, bytes: covered, sha256: await fileDigest(join(directory, path), covered) }
}

/** Makes a directory whole or not at all: it gets its name when `write` is done. */
async function installed(paths: Paths, name: string, write: (partial: string) => Promise<void>): Promise<void> {
  const partial = join(paths.runtime, `.partial-${name}-${randomBytes(4).toString('hex')}`)
  await mkdir(partial, { mode: 0o700 })
  try {
    await write(partial)
    await rename(partial, join(paths.runtime, name))
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
}

function agentPath(paths: Paths): string {
  return join(paths.programs, 'pyro-agent')
}

async function agentDigest(paths: Paths): Promise<string> {
  const path = agentPath(paths)
  try {
    return await rememberedDigest(paths, path, (await stat(path)).size)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    throw new PyroError('bundle_missing', `the guest's agent is not built: ${path} is missing`, { hint: 'run scripts/setup', details: { path }, cause })
  }
}

function bundleKey(kernel: string, agent: string): string {
  return createHash('sha256').update(JSON.stringify([recipeVersion, kernel, agent])).digest('hex').slice(0, 32)
}

function kernelRecipe(): string {
  return createHash('sha256').update(JSON.stringify([recipeVersion, guestModules])).digest('hex').slice(0, 8)
}

/** Whoever holds the lock is the only one that builds, so what is partial belongs to nobody. */
async function removeLeftovers(paths: Paths): Promise<void> {
  const partial = (await readdir(paths.runtime)).filter((name) => name.startsWith('.partial-'))
  await Promise.all(partial.map((name) => rm(join(paths.runtime, name), { recursive: true, force: true })))
}

async function removeOldBundles(paths: Paths, current: string): Promise<void> {
  const names = (await readdir(paths.runtime)).filter((name) => /^[0-9a-f]{32}$/.test(name) && name !== current)
  const aged = await Promise.all(names.map(async (name) => ({ name, age: -(await stat(join(paths.runtime, name))).mtimeMs })))
  const old = aged.toSorted((a, b) => a.age - b.age).slice(bundlesKept - 1)
  await Promise.all(old.map(({ name }) => rm(join(paths.runtime, name), { recursive: true, force: true })))
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
