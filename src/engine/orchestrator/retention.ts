import { PyroError } from '../../contract/errors.ts'
import { now } from '../clock.ts'
import { removeSandbox } from '../sandbox/remove.ts'
import type { Orchestrator } from './orchestrator.ts'

const defaultDays = 90
const daySeconds = 24 * 3600

/** `PYRO_RETENTION_DAYS`: how long a workspace stays that nobody touches, in seconds; undefined for ever. */
export function retentionSeconds(env: NodeJS.ProcessEnv): number | undefined {
  const given = env['PYRO_RETENTION_DAYS']
  if (!given) return defaultDays * daySeconds
  if (!/^\d+$/.test(given)) throw new PyroError('invalid_argument', `PYRO_RETENTION_DAYS must be a number of days, or 0 for never, not '${given}'`, { hint: 'unset it for 90 days' })
  return Number(given) * daySeconds || undefined
}

/**
 * Marks the workspaces that nobody has touched for the retention time, and
 * deletes those that were marked a day ago and are untouched still: a clock that
 * jumps ahead and back again costs nobody's work.
 */
export async function removeForgotten(orchestrator: Orchestrator): Promise<void> {
  const seconds = retentionSeconds(orchestrator.env)
  if (seconds === undefined) return
  const at = now()
  for (const { id, lastActivityAt, expiresAt, ttlSeconds, retentionDueAt } of orchestrator.store.sandboxes('workspace')) {
    const untouchedSince = Math.max(lastActivityAt, expiresAt - ttlSeconds)
    if (orchestrator.sandboxes.get(id)?.uses || untouchedSince + seconds > at) continue
    if (retentionDueAt === null) orchestrator.store.updateSandbox(id, { retentionDueAt: at + daySeconds })
    else if (retentionDueAt <= at) await removeSandbox(orchestrator, 'workspace', id, {}, 'workspace_retired')
  }
}
