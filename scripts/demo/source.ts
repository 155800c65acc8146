import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { openSourceArchive } from '../../src/engine/bundle/debian-archive.ts'
import type { CallOptions } from '../../src/engine/engine.ts'
import type { Paths } from '../../src/host/paths.ts'

/** The upstream release of a project as Debian signs and keeps it. */
export interface ProjectSource {
  /** The tar archive. */
  archive: string
  /** The directory that it unpacks to. */
  directory: string
}

/** Takes a project's release from the cache, and from Debian's source archive the first time. */
export async function projectSource(paths: Paths, name: string, { progress, signal }: CallOptions): Promise<ProjectSource> {
  const kept = join(paths.cache, 'demo', name)
  const there = await release(kept, name)
  if (there) return there
  await mkdir(join(paths.cache, 'demo'), { recursive: true })
  const scratch = await mkdtemp(`${kept}.partial-`)
  try {
    progress?.({ phase: 'source', detail: 'reading the Debian source archive' })
    const archive = await openSourceArchive(join(scratch, 'apt'), signal)
    progress?.({ phase: 'source', detail: `downloading ${name}` })
    const download = join(scratch, 'download')
    await mkdir(download)
    await archive.source(name, download)
    await rm(kept, { recursive: true, force: true })
    await rename(download, kept)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
  const found = await release(kept, name)
  if (!found) throw new Error(`Debian's source package ${name} has no tar archive of its upstream release`)
  return found
}

async function release(directory: string, name: string): Promise<ProjectSource | undefined> {
  const files = await readdir(directory).catch(() => [])
  for (const file of files) {
    const version = /^[^_]+_(.+)\.orig\.tar\.(?:gz|zst)$/.exec(file)?.[1]
    if (version) return { archive: join(directory, file), directory: `${name}-${version}` }
  }
  return undefined
}
