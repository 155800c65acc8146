import { statfs } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { noSpace, type PyroError } from '../../contract/errors.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import type { Live } from './sandbox.ts'

const lookEveryMs = 1000
/** A guest that goes on with less than this free would stop again at once. */
const enoughBytes = 64 * 1024 ** 2

/** Lets a machine go on that stopped for a full disk, once there is room again. */
export async function spaceReturned({ paths, leaving }: Orchestrator, live: Live): Promise<void> {
  while (!leaving.aborted && !live.leaving) {
    await delay(lookEveryMs, undefined, { ref: false })
    const { bavail, bsize } = await statfs(paths.workspaces)
    if (bavail * bsize < enoughBytes) continue
    live.stalled = false // before it goes on: it may have to stop again at once
    return live.machine.resume().catch(() => {}) // it has ended, which is seen elsewhere
  }
}

/** Waits for something that makes the guest write. Fails when the machine has to wait for space meanwhile; it goes on once there is some. */
export async function unlessStalled<T>(live: Live, id: string, work: Promise<T>): Promise<T> {
  const full = Promise.withResolvers<never>()
  const tell = () => full.reject(stalledError(id))
  live.stallListeners.add(tell)
  if (live.stalled) tell()
  work.catch(() => {}) // when the disk was full first
  try {
    return await Promise.race([work, full.promise])
  } finally {
    live.stallListeners.delete(tell)
  }
}

/** What whoever needs a machine is told that waits for space. */
export function stalledError(id: string): PyroError {
  return noSpace(`workspace '${id}' is held until there is room for what it writes; nothing in it is lost`)
}
