import { stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { PyroError } from '../../contract/errors.ts'
import { driveBytes } from '../../vmm/vmm.ts'
import { startHostProgram } from '../../host/program.ts'
import type { Paths } from '../../host/paths.ts'
import type { Progress } from '../../contract/progress.ts'

/** Where the first content of /workspace comes from. */
export type SeedSource =
  | {
      kind: 'directory'
      path: string
      /** Only these, relative to `path`; all when left out. */
      files?: string[]
      /** Patterns of gitignore's form. */
      exclude?: string[]
    }
  | { kind: 'archive'; path: string }

/** A read-only image, packed once per content and shared by every machine that starts with it. */
export interface Seed {
  /** The squashfs image. */
  path: string
  /** `sha256:…` of its content. */
  digest: string
  /** All members, directories included. */
  entryCount: number
  /** Bytes of regular files. */
  bytesWritten: number
  /** What could not be carried, and what it is: a socket, a device, a FIFO. */
  skipped: { path: string; type: string }[]
}

const archiveNames = /\.(tar|tar\.gz|tgz|tar\.zst)$/i

/** Tells a directory from an archive; refuses what is neither. `~` is the home directory. */
export async function seedSource(given: string): Promise<SeedSource> {
  const path = resolve(given.replace(/^~(?=$|\/)/, homedir()))
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    const readable = cause.code === 'ENOENT' || cause.code === 'ENOTDIR'
    throw new PyroError('seed_invalid', readable ? `seed ${path} does not exist` : `seed ${path} cannot be read: ${cause.code}`, {
      hint: 'give a directory, or a .tar, .tar.gz, .tgz or .tar.zst file',
      cause,
    })
  })
  if (found.isDirectory()) return { kind: 'directory', path }
  if (found.isFile() && archiveNames.test(path)) return { kind: 'archive', path }
  throw new PyroError('seed_invalid', `seed ${path} is neither a directory nor a .tar, .tar.gz, .tgz or .tar.zst file`, {
    hint: 'pack it first: tar -czf seed.tgz -C DIRECTORY .',
  })
}

interface SeedOptions {
  progress?: Progress | undefined
  signal?: AbortSignal | undefined
}

/** The image for a source, packed unless one of the same content is there. */
export async function ensureSeed(paths: Paths, source: SeedSource, { progress, signal }: SeedOptions = {}): Promise<Seed> {
  await using program = startHostProgram(paths, ['seed'], 'seed_invalid', ({ event, bytes }) => {
    if (event === 'progress') progress?.({ phase: 'seed', detail: `packed ${Math.round(Number(bytes) / 1e6)} MB` })
  })
  const abort = () => program.child.kill()
  signal?.addEventListener('abort', abort)
  try {
    signal?.throwIfAborted()
    program.send({ source, cache: paths.seeds, virtual_size: driveBytes })
    const packed = await program.next('seed')
    const skipped = packed['skipped'] as Seed['skipped']
    if (skipped.length > 0) progress?.({ phase: 'seed', detail: `left out: ${listed(skipped)}` })
    return {
      path: join(paths.seeds, String(packed['key']), 'seed.img'),
      digest: String(packed['digest']),
      entryCount: Number(packed['entry_count']),
      bytesWritten: Number(packed['bytes_written']),
      skipped,
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

const listedAtMost = 5

function listed(skipped: Seed['skipped']): string {
  const named = skipped.slice(0, listedAtMost).map(({ path, type }) => `${path} (${type})`)
  const more = skipped.length - named.length
  return [...named, ...(more > 0 ? [`${more} more`] : [])].join(', ')
}
