import type { IntentRow } from '../../store/rows.ts'
import type { Store } from '../../store/store.ts'
import { now } from '../clock.ts'

/** Puts on record what is about to be done. One that is open already, of an attempt that failed half-way, is gone on with. */
export function intend(store: Store, intent: Omit<IntentRow, 'createdAt'>): void {
  if (store.intents(intent.sandboxId).some(({ id }) => id === intent.id)) return
  store.insertIntent({ ...intent, createdAt: now() })
}
