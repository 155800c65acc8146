import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { PyroError } from '../../contract/errors.ts'
import type { Paths } from '../../host/paths.ts'
import { fileLock } from '../../host/program.ts'
import { ensureBundle } from '../bundle/bundle.ts'
import type { CallOptions } from '../engine.ts'
import { catalogue, catalogVersion, findEntry, sourceReference } from './catalogue.ts'
import { installEnvironment, lockFile } from './install.ts'
import { actualDigest, findInstalled, type InstalledEnvironment, installName, platformDirectory, readInstalled } from './installed.ts'
import { describeEnvironment, type EnvironmentPayload, type RegistryOption } from './payload.ts'
import { removePartial } from './partial.ts'

/** An installed environment as the engine uses it. */
export interface Environment {
  name: string
  version: string
  /** Of the image's content, `sha256:` and hexadecimal. */
  digest: string
  rootfsImage: string
}

/** The environment of that name, verified; installed when it is not there. */
export async function ensureEnvironment(paths: Paths, name: string, options: CallOptions = {}): Promise<Environment> {
  const entry = findEntry(name)
  const installed = (await findInstalled(paths, entry)) ?? (await installEnvironment(paths, entry, options))
  await verify(paths, name, installed)
  return { name, version: entry.version, digest: installed.manifest.source_digest, rootfsImage: installed.rootfsImage }
}

async function verify(paths: Paths, name: string, installed: InstalledEnvironment): Promise<void> {
  const expected = installed.manifest.source_digest
  const actual = await actualDigest(paths, installed)
  if (actual === expected) return
  throw new PyroError('pull_failed', `the image of ${name} is damaged: expected ${expected}, found ${actual}`, {
    hint: `\`pyro env prune\`, then \`pyro env pull ${name}\`, installs it anew`,
    details: { environment: name, path: installed.rootfsImage, expected, actual },
  })
}

export async function listEnvironments(paths: Paths, options: RegistryOption = {}): Promise<{ catalog_version: string; environments: EnvironmentPayload[] }> {
  return { catalog_version: catalogVersion, environments: await Promise.all(catalogue.map((entry) => describeEnvironment(paths, entry, options))) }
}

export async function inspectEnvironment(paths: Paths, name: string, options: RegistryOption = {}): Promise<EnvironmentPayload> {
  return describeEnvironment(paths, findEntry(name), options)
}

type PulledEnvironment = EnvironmentPayload & { kernel_image: string; rootfs_image: string; source: string }

/** Installs an environment and all else that booting it needs. A whole one is left as it is, a damaged one is replaced. */
export async function pullEnvironment(paths: Paths, name: string, options: CallOptions & RegistryOption = {}): Promise<PulledEnvironment> {
  const entry = findEntry(name)
  const bundle = await ensureBundle(paths, options)
  const installed = await installEnvironment(paths, entry, options)
  return {
    ...(await describeEnvironment(paths, entry, options)),
    kernel_image: bundle.kernel,
    rootfs_image: installed.rootfsImage,
    source: sourceReference(entry),
  }
}

/** Removes what interrupted, outdated, unknown or damaged installs left. What another process installs right now stays. */
export async function pruneEnvironments(paths: Paths): Promise<{ deleted_environment_dirs: string[]; count: number }> {
  const root = platformDirectory(paths)
  const entries = await readdir(root, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const deleted: string[] = []
  for (const { name } of entries.filter((entry) => entry.isDirectory())) {
    const directory = join(root, name)
    if (await isWhole(paths, name, directory)) continue
    if (await removeUnlessBusy(paths, name, directory)) deleted.push(directory)
  }
  return { deleted_environment_dirs: deleted.toSorted(), count: deleted.length }
}

async function isWhole(paths: Paths, name: string, directory: string): Promise<boolean> {
  if (!catalogue.some((entry) => installName(entry) === name)) return false
  const installed = await readInstalled(directory)
  return installed !== undefined && (await actualDigest(paths, installed)) === installed.manifest.source_digest
}

/** Whoever installs an environment holds its lock; `.partial-NAME-RANDOM` is its work. */
async function removeUnlessBusy(paths: Paths, name: string, directory: string): Promise<boolean> {
  const lock = lockFile(paths, name.replace(/^\.partial-(.*)-[0-9a-f]+$/, '$1'))
  const busy = new AbortController()
  try {
    await using _lock = await fileLock(paths, lock, { signal: busy.signal, onWait: () => busy.abort() })
    await removePartial(directory)
    return true
  } catch (error) {
    if (busy.signal.aborted) return false
    throw error
  }
}
