import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { fileIdentity, remembered } from '../../host/facts.ts'
import type { Paths } from '../../host/paths.ts'

const reading = new Map<string, Promise<string>>()

/**
 * SHA-256 of a file's first `bytes` bytes. It is read only when it is not the file that was read the last time:
 * another inode, size or mtime.
 */
export async function rememberedDigest(paths: Paths, path: string, bytes: number): Promise<string> {
  const key = `${fileIdentity(path)}:${bytes}`
  const known = reading.get(key)
  if (known) return known
  const name = `digest-${createHash('sha256').update(path).digest('hex').slice(0, 24)}`
  const digest = remembered(paths, name, key, () => fileDigest(path, bytes)).finally(() => reading.delete(key))
  reading.set(key, digest)
  return digest
}

/** SHA-256 of a file's first `bytes` bytes, as lower-case hexadecimal. */
export async function fileDigest(path: string, bytes: number): Promise<string> {
  const hash = createHash('sha256')
  if (bytes > 0) {
    for await (const chunk of createReadStream(path, { end: bytes - 1, highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  }
  return hash.digest('hex')
}
