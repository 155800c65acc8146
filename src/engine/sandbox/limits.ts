import { PyroError } from '../../contract/errors.ts'
import { answerTimeoutMs } from '../machine/link.ts'

/** A guest that has not flushed its disk after this long is not going to. */
export const flushTimeoutMs = 60_000

/** Waits for what a machine does at once; fails with `guest_unresponsive` when it does not. */
export async function inTime<T>(work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new PyroError('guest_unresponsive', `the virtual machine did not answer within ${answerTimeoutMs / 1000} s`)), answerTimeoutMs)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
