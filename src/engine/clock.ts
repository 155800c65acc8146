/** The longest that a timer of the runtime takes, in milliseconds. */
export const longestTimerMs = 2 ** 31 - 1

/** The time of day in seconds since the epoch, with fraction, as the contract tells times. */
export function now(): number {
  return Date.now() / 1000
}
