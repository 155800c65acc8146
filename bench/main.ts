import { join } from 'node:path'
import { ratio, type Row, table } from './statistics.ts'
import { commandLineRows } from './command-line.ts'
import { forkRows } from './forks.ts'
import { memoryRows } from './memory.ts'
import { volumeRows } from './volume.ts'
import { prepareSubject } from './subject.ts'
import { workspaceRows } from './workspaces.ts'

/**
 * Every speed and size that we claim, beside its floor, from one run. Says
 * which rows are over their limit by its exit code. `npm run bench -- forks`
 * runs the groups named.
 */
const groups: Record<string, (subject: Awaited<ReturnType<typeof prepareSubject>>) => Promise<Row[]>> = {
  forks: forkRows,
  'command-line': commandLineRows,
  memory: memoryRows,
  volume: volumeRows,
  workspaces: workspaceRows,
}

const named = process.argv.slice(2)
const subject = await prepareSubject(join(import.meta.dirname, '..'))
const rows: Row[] = []
for (const [name, group] of Object.entries(groups)) {
  if (named.length > 0 && !named.includes(name)) continue
  console.error(`[bench] ${name}`)
  rows.push(...(await group(subject)))
}
console.log(table(rows))
process.exitCode = rows.every((row) => ratio(row) <= row.limit) ? 0 : 1
