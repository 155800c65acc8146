import { readFileSync, writeFileSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { run } from '../process.ts'

/** File of a partial install that names a scratch directory elsewhere. */
export const scratchNote = 'scratch-directory'
/** File of a partial install that names the program which fills it. */
const builderNote = 'builder'
/** Ample for what was killed to be gone. */
const killMs = 2000

/** mmdebstrap outlives us when we are killed, so whoever cleans up after us has to find it. */
export function noteBuilder(partial: string, pid: number): void {
  writeFileSync(join(partial, builderNote), JSON.stringify({ pid, started: startTime(pid) }))
}

/** Removes a partial install, what it unpacked elsewhere, and the program that still works on it. */
export async function removePartial(partial: string): Promise<void> {
  await endBuilder(partial)
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

async function endBuilder(partial: string): Promise<void> {
  const note = await readFile(join(partial, builderNote), 'utf8').catch(() => undefined)
  if (note === undefined) return
  const { pid, started } = JSON.parse(note) as { pid: number; started: string | undefined }
  if (started === undefined || startTime(pid) !== started) return
  const deadline = Date.now() + killMs
  while (killGroup(pid) && Date.now() < deadline) await delay(20)
}

/** Whether there was anything to kill. */
function killGroup(pid: number): boolean {
  try {
    process.kill(-pid, 'SIGKILL')
    return true
  } catch {
    return false
  }
}

/** Start time of a process in clock ticks since boot (proc(5)), which tells it from a later one with the same id. */
function startTime(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19]
  } catch {
    return undefined
  }
}
