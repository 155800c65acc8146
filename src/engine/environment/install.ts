import { randomBytes } from 'node:crypto'
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { noSpace, PyroError } from '../../contract/errors.ts'
import type { Paths } from '../../host/paths.ts'
import { fileLock } from '../../host/program.ts'
import { driveBytes } from '../../vmm/vmm.ts'
import { fileDigest } from '../bundle/remembered-digest.ts'
import type { CallOptions } from '../engine.ts'
import { type CatalogueEntry, catalogVersion, sourceReference } from './catalogue.ts'
import { buildDebianRecipe } from './debian-recipe.ts'
import {
  actualDigest,
  findInstalled,
  installDirectory,
  type InstalledEnvironment,
  installName,
  type InstallManifest,
  manifestName,
  platformDirectory,
} from './installed.ts'
import { removePartial } from './partial.ts'

/** Installs an environment that is not there, or whose image is damaged. One process builds; others wait for it. */
export async function installEnvironment(paths: Paths, entry: CatalogueEntry, options: CallOptions): Promise<InstalledEnvironment> {
  await mkdir(platformDirectory(paths), { recursive: true, mode: 0o700 })
  await using _lock = await fileLock(paths, lockFile(paths, installName(entry)), {
    signal: options.signal,
    onWait: () => options.progress?.({ phase: 'install', detail: 'waiting for another pyro that installs it' }),
  })
  const there = await findInstalled(paths, entry)
  if (there && (await actualDigest(paths, there)) === there.manifest.source_digest) return there
  const partial = join(platformDirectory(paths), `.partial-${installName(entry)}-${randomBytes(4).toString('hex')}`)
  await mkdir(partial, { mode: 0o700 })
  try {
    await writeInstall(entry, partial, options)
    const directory = installDirectory(paths, entry)
    await rm(directory, { recursive: true, force: true })
    await rename(join(partial, 'install'), directory)
  } catch (error) {
    throw error instanceof PyroError && error.code === 'no_space' ? noSpace(partial, error) : error
  } finally {
    await removePartial(partial)
  }
  const installed = await findInstalled(paths, entry)
  if (!installed) throw new PyroError('pull_failed', `${entry.name} vanished while it was installed`, { hint: `pyro env pull ${entry.name}` })
  return installed
}

/** Held while an environment is being installed. */
export function lockFile(paths: Paths, name: string): string {
  return join(platformDirectory(paths), `.lock-${name}`)
}

async function writeInstall(entry: CatalogueEntry, partial: string, options: CallOptions): Promise<void> {
  const install = join(partial, 'install')
  await mkdir(install, { mode: 0o700 })
  const image = join(install, 'image')
  await builders[entry.source.kind](entry.source, image, partial, options)
  const contentBytes = await pad(image)
  const sha256 = await fileDigest(image, contentBytes)
  const rootfs = `sha256-${sha256}.squashfs`
  await rename(image, join(install, rootfs))
  const manifest: InstallManifest = {
    catalog_version: catalogVersion,
    name: entry.name,
    version: entry.version,
    source: sourceReference(entry),
    source_digest: `sha256:${sha256}`,
    installed_at: Math.floor(Date.now() / 1000),
    rootfs,
    content_bytes: contentBytes,
  }
  await writeFile(join(install, manifestName), `${JSON.stringify(manifest, null, 2)}\n`)
}

const builders = { 'debian-recipe': buildDebianRecipe }

/** Gives the image the size of its drive, as a hole, and puts it on the disk. Resolves to what it was before. */
async function pad(image: string): Promise<number> {
  await using file = await open(image, 'r+')
  const { size } = await file.stat()
  await file.truncate(driveBytes)
  await file.sync()
  await file.chmod(0o444)
  return size
}
