import { PyroError } from '../../contract/errors.ts'
import type { Store } from '../../store/store.ts'

/** Does what must be put on record even when the disk is full, by the space that is kept back for it. Nothing may have come of it when it fails. */
export async function evenWhenFull<T>(store: Store, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (PyroError.from(error).code !== 'no_space') throw error
    return store.withReserve(work)
  }
}
