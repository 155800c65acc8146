/** Each with the distance from which on it is the nearest to the truth. */
const units = [
  { name: 's', seconds: 1, from: 1 },
  { name: 'min', seconds: 60, from: 60 },
  { name: 'h', seconds: 3600, from: 3600 - 30 },
  { name: 'day', seconds: 86_400, from: 86_400 - 1800 },
]

/** How far a moment is, rounded: `3 min ago`, `in 2 days`. Both are seconds since the epoch. */
export function relativeTime(at: number, now: number): string {
  const distance = Math.round(Math.abs(at - now))
  const unit = units.findLast(({ from }) => distance >= from)
  if (!unit) return 'now'
  const count = Math.round(distance / unit.seconds)
  const text = `${count} ${unit.name}${unit.name === 'day' && count > 1 ? 's' : ''}`
  return at > now ? `in ${text}` : `${text} ago`
}

/** A moment as people read it, in their time zone: `2026-01-31 14:05:09 (3 min ago)`. Seconds since the epoch. */
export function readableTime(at: number, now = Date.now() / 1000): string {
  const date = new Date(at * 1000)
  const two = (value: number) => String(value).padStart(2, '0')
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-')
  const time = [two(date.getHours()), two(date.getMinutes()), two(date.getSeconds())].join(':')
  return `${day} ${time} (${relativeTime(at, now)})`
}
