import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PyroError } from '../../contract/errors.ts'
import type { Paths } from '../../host/paths.ts'
import { rememberedDigest } from './remembered-digest.ts'

/** A file of the bundle. The digest covers its first `bytes` bytes; what follows, if anything, is a hole. */
export interface Part {
  path: string
  bytes: number
  sha256: string
}

export const partNames = ['kernel', 'initramfs', 'agent', 'disk'] as const
export type PartName = (typeof partNames)[number]

/** `manifest.json` of a runtime bundle. */
export interface BundleManifest {
  bundle_version: string
  platform: 'linux-x86_64'
  key: string
  component_versions: Record<string, string>
  capabilities: { vm_boot: boolean; guest_exec: boolean; guest_network: boolean }
  parts: Record<PartName, Part>
}

/** A bundle that can be used, with absolute paths. */
export interface Bundle {
  directory: string
  key: string
  manifest: BundleManifest
  kernel: string
  initramfs: string
  agent: string
  /** A formatted disk without content. */
  blankDisk: string
}

/** Reads the bundle that lies in a directory. What its files hold is not looked at. */
export async function openBundle(directory: string): Promise<Bundle> {
  const manifest = parseManifest(directory, await readManifest(directory))
  const at = (name: PartName) => join(directory, manifest.parts[name].path)
  return { directory, manifest, key: manifest.key, kernel: at('kernel'), initramfs: at('initramfs'), agent: at('agent'), blankDisk: at('disk') }
}

/** Compares every part with the manifest. Costs a few system calls for files that have not changed since the last time. */
export async function verifyBundle(paths: Paths, bundle: Bundle): Promise<void> {
  await Promise.all(
    partNames.map(async (name) => {
      const { path, bytes, sha256 } = bundle.manifest.parts[name]
      const file = join(bundle.directory, path)
      const actual = await digestOf(paths, bundle, file, bytes)
      if (actual === sha256) return
      throw new PyroError('bundle_damaged', `${file} does not match its checksum: expected sha256 ${sha256}, found ${actual}`, {
        hint: rebuildHint(paths, bundle.directory),
        details: { part: name, path: file, expected: sha256, actual },
      })
    }),
  )
}

function digestOf(paths: Paths, { directory }: Bundle, file: string, bytes: number): Promise<string> {
  return rememberedDigest(paths, file, bytes).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw cause
    throw new PyroError('bundle_damaged', `${file} is missing`, { hint: rebuildHint(paths, directory), details: { path: file }, cause })
  })
}

/** What a person does about a bundle that cannot be used. */
export function rebuildHint({ runtimeGiven }: Paths, directory: string): string {
  return runtimeGiven ? 'point PYRO_RUNTIME_BUNDLE_DIR to a whole bundle, or unset it' : `rm -r '${directory}', then run the same command again: it is built anew`
}

async function readManifest(directory: string): Promise<string> {
  const path = join(directory, 'manifest.json')
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new PyroError('bundle_missing', `there is no runtime bundle: cannot read ${path}`, {
      hint: 'run scripts/setup, or point PYRO_RUNTIME_BUNDLE_DIR to a bundle',
      details: { path },
      cause,
    })
  }
}

function parseManifest(directory: string, text: string): BundleManifest {
  try {
    const manifest = JSON.parse(text) as BundleManifest
    if (typeof manifest.key !== 'string' || !partNames.every((name) => isPart(manifest.parts[name]))) throw new Error('a field is missing')
    return manifest
  } catch (cause) {
    throw new PyroError('bundle_damaged', `${join(directory, 'manifest.json')} is no manifest: ${(cause as Error).message}`, {
      hint: `rm -r '${directory}', then run the same command again: it is built anew`,
      cause,
    })
  }
}

function isPart(part: Part | undefined): boolean {
  return /^[\w.-]+$/.test(part?.path ?? '') && Number.isSafeInteger(part?.bytes) && /^[0-9a-f]{64}$/.test(part?.sha256 ?? '')
}
