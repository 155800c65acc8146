/** The time of day in seconds since the epoch, with fraction, as the contract tells times. */
export function now(): number {
  return Date.now() / 1000
}
