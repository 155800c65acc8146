import type { Guest } from '../../guest/client.ts'

/** One moment as both clocks saw it. */
export interface ClockReading {
  hostNs: bigint
  guestNs: bigint
}

/** Of several readings the one with the shortest way there and back is the most exact. */
const readings = 7

export async function readClock(guest: Guest): Promise<ClockReading> {
  let best: (ClockReading & { tookNs: bigint }) | undefined
  for (let i = 0; i < readings; i++) {
    const sent = process.hrtime.bigint()
    const { monotonicNs } = await guest.agent.ping({})
    const tookNs = process.hrtime.bigint() - sent
    if (!best || tookNs < best.tookNs) best = { hostNs: sent + tookNs / 2n, guestNs: monotonicNs, tookNs }
  }
  return best as ClockReading
}

/** How fast the guest's clock runs against the host's: 1 when it is right, 1.01 when it gains a second in a hundred. */
export function clockRatio(from: ClockReading, to: ClockReading): number {
  return Number(to.guestNs - from.guestNs) / Number(to.hostNs - from.hostNs)
}
