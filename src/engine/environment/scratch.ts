import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../process.ts'

/** File of a partial install that names a scratch directory elsewhere. */
export const scratchNote = 'scratch-directory'

/** Removes a partial install and what it unpacked elsewhere. */
export async function removePartial(partial: string): Promise<void> {
  const scratch = await readFile(join(partial, scratchNote), 'utf8').catch(() => '')
  if (scratch.startsWith('/var/tmp/pyro-environment-')) await removeScratch(scratch)
  await removeScratch(partial)
}

/** An interrupted build without root leaves files that belong to the users of its namespace. */
export async function removeScratch(directory: string): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES' || process.getuid?.() === 0) throw error
    await run({ program: 'unshare', args: ['--user', '--map-auto', '--map-root-user', 'rm', '-rf', '--', directory] })
    await rm(directory, { recursive: true, force: true })
  }
}
