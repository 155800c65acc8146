import { setTimeout as delay } from 'node:timers/promises'
import { PyroError } from '../../contract/errors.ts'
import type { Guest } from '../../guest/client.ts'

/** One moment as both clocks saw it. */
interface ClockReading {
  hostNs: bigint
  guestNs: bigint
  /** How long the answer took: the guest's clock was read at some moment of it. */
  tookNs: bigint
}

/** A guest's clock may gain or lose this share of a second each second, what is not known for certain included. */
const tolerance = 0.005
/** A correction is worked out from a measurement at least this exact. */
const correctionError = 0.0005
const patienceMs = 15_000
const intervalMs = 250
const readingsAtOnce = 5

/** Of several readings the one with the shortest way there and back is the most exact. */
export async function readClock(guest: Guest): Promise<ClockReading> {
  let best: ClockReading | undefined
  for (let i = 0; i < readingsAtOnce; i++) {
    const sent = process.hrtime.bigint()
    const { monotonicNs } = await guest.agent.ping({})
    const tookNs = process.hrtime.bigint() - sent
    if (!best || tookNs < best.tookNs) best = { hostNs: sent + tookNs / 2n, guestNs: monotonicNs, tookNs }
  }
  return best as ClockReading
}

/**
 * How fast the guest's clock runs against the host's: 1 when it is right within
 * the tolerance, 1.01 when it gains a second in a hundred. A busy host makes
 * single readings inexact, so it goes on until one verdict is certain.
 */
export async function clockRate(guest: Guest, from: ClockReading): Promise<number> {
  for (const deadline = performance.now() + patienceMs; performance.now() < deadline; await delay(intervalMs)) {
    const to = await readClock(guest)
    const elapsedNs = Number(to.hostNs - from.hostNs)
    const rate = Number(to.guestNs - from.guestNs) / elapsedNs
    const error = Number(from.tookNs + to.tookNs) / 2 / elapsedNs
    if (Math.abs(rate - 1) + error <= tolerance) return 1
    if (Math.abs(rate - 1) - error > tolerance && error <= correctionError) return rate
  }
  throw new PyroError('guest_unavailable', "the guest's clock could not be compared with the host's", { hint: 'the host is too busy to keep time: try again when it is less loaded' })
}
