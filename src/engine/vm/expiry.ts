import { PyroError } from '../../contract/errors.ts'
import type { SandboxRow } from '../../store/rows.ts'
import { longestTimerMs, now } from '../clock.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import { sandboxOf } from '../sandbox/enter.ts'
import { removeSandbox } from '../sandbox/remove.ts'

/** Removes a throwaway VM when its time is over, whatever it is doing. */
export function watchExpiry(orchestrator: Orchestrator, { id, expiresAt }: Pick<SandboxRow, 'id' | 'expiresAt'>): void {
  const sandbox = sandboxOf(orchestrator, id)
  clearTimeout(sandbox.idleTimer)
  const ms = Math.max(0, (expiresAt - now()) * 1000)
  sandbox.idleTimer = setTimeout(
    () => {
      if (ms > longestTimerMs) watchExpiry(orchestrator, { id, expiresAt })
      else void removeSandbox(orchestrator, 'vm', id, {}).catch(() => {})
    },
    Math.min(ms, longestTimerMs),
  )
  sandbox.idleTimer.unref()
}

/** Removes those whose time is over. Resolves to their ids. */
export async function removeExpired(orchestrator: Orchestrator): Promise<string[]> {
  const expired = orchestrator.store.sandboxes('vm').filter(({ expiresAt }) => expiresAt <= now())
  for (const { id } of expired) await removeSandbox(orchestrator, 'vm', id, {})
  return expired.map(({ id }) => id)
}

/** Touching an expired VM removes it, and says so. */
export async function refuseExpired(orchestrator: Orchestrator, id: string): Promise<void> {
  const row = orchestrator.store.sandbox(id)
  if (row?.kind !== 'vm' || row.expiresAt > now()) return
  await removeSandbox(orchestrator, 'vm', id, {})
  throw new PyroError('expired', `VM '${id}' expired and was automatically deleted`, { hint: 'create another, with a larger ttl_seconds if need be' })
}
