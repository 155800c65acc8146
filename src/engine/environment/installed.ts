import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Paths } from '../../host/paths.ts'
import { rememberedDigest } from '../bundle/remembered-digest.ts'
import { type CatalogueEntry, platform } from './catalogue.ts'

/** `environment.json` of an installed environment. */
export interface InstallManifest {
  catalog_version: string
  name: string
  version: string
  source: string
  /** Digest of the image's content, `sha256:` and hexadecimal. */
  source_digest: string
  /** Unix time in seconds. */
  installed_at: number
  /** File name of the root file system beside the manifest. */
  rootfs: string
  /** Length of its content; what follows is the hole that pads it to a drive's size. */
  content_bytes: number
}

export interface InstalledEnvironment {
  manifest: InstallManifest
  manifestPath: string
  rootfsImage: string
}

export const manifestName = 'environment.json'

/** The directory that holds one directory for each installed environment. */
export function platformDirectory(paths: Paths): string {
  return join(paths.environments, platform)
}

/** File name of an environment's directory: no `:`, which some tools take for a separator. */
export function installName({ name, version }: Pick<CatalogueEntry, 'name' | 'version'>): string {
  return `${name.replaceAll(':', '_')}-${version}`
}

export function installDirectory(paths: Paths, entry: CatalogueEntry): string {
  return join(platformDirectory(paths), installName(entry))
}

export async function findInstalled(paths: Paths, entry: CatalogueEntry): Promise<InstalledEnvironment | undefined> {
  const installed = await readInstalled(installDirectory(paths, entry))
  return installed?.manifest.name === entry.name && installed.manifest.version === entry.version ? installed : undefined
}

/** What a directory holds when it has a readable manifest and the image that it names. */
export async function readInstalled(directory: string): Promise<InstalledEnvironment | undefined> {
  const manifestPath = join(directory, manifestName)
  try {
    const manifest = JSON.parse(await readFile(manifestPath, 'utf8')) as InstallManifest
    if (!/^[\w.-]+$/.test(manifest.rootfs) || !Number.isSafeInteger(manifest.content_bytes)) return undefined
    const rootfsImage = join(directory, manifest.rootfs)
    return (await stat(rootfsImage)).size >= manifest.content_bytes ? { manifest, manifestPath, rootfsImage } : undefined
  } catch {
    return undefined
  }
}

/** Digest of the image as it is now; read only when the file has changed since the last time. */
export async function actualDigest(paths: Paths, { manifest, rootfsImage }: InstalledEnvironment): Promise<string> {
  return `sha256:${await rememberedDigest(paths, rootfsImage, manifest.content_bytes)}`
}
