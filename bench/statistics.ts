/** Milliseconds that something took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

export function worst(samples: readonly number[]): number {
  return Math.max(...samples)
}

/** A figure, what it is compared with, and how many times the latter it may be. */
export interface Row {
  what: string
  samples: number[]
  unit: 'ms' | 'MiB'
  /** The floor in the same unit, worked out from the same run; a constant for a plain limit. */
  floor: number
  /** How the floor reads in the table. */
  floorText: string
  limit: number
}

export function ratio({ samples, floor }: Row): number {
  return median(samples) / floor
}

export function table(rows: Row[]): string {
  const cells = rows.map((row) => [
    row.what,
    `${number(median(row.samples))} ${row.unit}`,
    number(worst(row.samples)),
    String(row.samples.length),
    `${number(row.floor)} (${row.floorText})`,
    `${ratio(row).toFixed(2)}`,
    `${row.limit}`,
    ratio(row) <= row.limit ? 'ok' : 'OVER',
  ])
  const all = [['what', 'median', 'worst', 'n', 'floor', 'ratio', 'at most', ''], ...cells]
  const widths = (all[0] as string[]).map((_, column) => Math.max(...all.map((line) => (line[column] as string).length)))
  return all.map((line) => line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[column] as number))).join('  ').trimEnd()).join('\n')
}

function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1)
}
