import { existsSync } from 'node:fs'
import { link, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Paths } from '../../host/paths.ts'

/** Where a sandbox keeps its files. */
export interface SandboxFiles {
  directory: string
  /** Held by whatever writes to the disk, so that no two machines ever do. */
  lock: string
  /** All that its guest ever writes. */
  disk: string
  /** The images that it was made from, pinned: neither an eviction nor a new version takes them away. */
  environment: string
  seed: string
  /** What its commands wrote. */
  commands: string
}

export function sandboxFiles(paths: Paths, id: string): SandboxFiles {
  const directory = join(paths.workspaces, id)
  const at = (name: string) => join(directory, name)
  return { directory, lock: at('lock'), disk: at('disk.img'), environment: at('environment.img'), seed: at('seed.img'), commands: at('commands') }
}

export async function makeSandboxDirectory(files: SandboxFiles): Promise<void> {
  await mkdir(files.directory, { recursive: true, mode: 0o700 })
}

/** Another name for an image keeps it for as long as we need it; on another file system it has to stay where it is. */
export async function pin(image: string, name: string): Promise<string> {
  try {
    await link(image, name)
    return name
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return name
    if (code === 'EXDEV' || code === 'EPERM' || code === 'EMLINK') return image
    throw error
  }
}

/** The pinned image if there is one. */
export function pinned(name: string, image: string): string {
  return existsSync(name) ? name : image
}

export async function removeSandboxDirectory(files: SandboxFiles): Promise<void> {
  await rm(files.directory, { recursive: true, force: true })
}
