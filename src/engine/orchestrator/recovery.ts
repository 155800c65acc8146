import { existsSync } from 'node:fs'
import type { OpenedStore, Recovered } from '../../store/store.ts'
import { now } from '../clock.ts'

/** How the records were found again, and when, in seconds since the epoch. */
export interface Recovery extends Recovered {
  recordedAt: number
}

const kind = 'store_recovered'

/** Puts it on record when the records had to be found again; tells of it for as long as the damaged file is kept. */
export function recoveryOf({ store, recovered }: OpenedStore): Recovery | undefined {
  if (recovered) store.appendEvent(null, { kind, recordedAt: now(), payload: { ...recovered } })
  const [last] = store.events(null, { kinds: [kind], newest: true, limit: 1 })
  if (!last) return undefined
  const told = last.payload as unknown as Recovered
  const isKept = told.backup !== null && existsSync(told.backup)
  return recovered || isKept ? { ...told, recordedAt: last.recordedAt } : undefined
}
