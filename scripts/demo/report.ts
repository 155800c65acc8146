import { stripVTControlCharacters, styleText } from 'node:util'
import { progressLines } from '../../src/cli/commands/command.ts'
import type { Progress } from '../../src/contract/progress.ts'

interface Row {
  what: string
  /** Where it ran, such as `qemu-tcg`; on the host itself when left out. */
  vmm?: string
  result: string
  ms: number
}

/** What a step sets of its row. */
export type Outcome = Pick<Row, 'vmm' | 'result'>

const width = 80
const columns = { what: 38, vmm: 10, result: 18, time: 9 }

/** Tells each step while it is taken, and all of them at the end. */
export class Report {
  readonly #rows: Row[] = []
  readonly #started = performance.now()

  /** Takes a step. One that has nothing to say of its progress was done by an earlier run, unless it sets another result. */
  async step<T>(what: string, work: (outcome: Outcome, progress: Progress) => Promise<T>): Promise<T> {
    print(styleText('bold', `== ${what}`))
    const outcome: Outcome = { result: '' }
    const started = performance.now()
    const told = progressLines(false)
    const done = await work(outcome, (event) => {
      outcome.result ||= 'made'
      told?.(event)
    })
    const row = { ...outcome, what, result: outcome.result || 'there already', ms: performance.now() - started }
    this.#rows.push(row)
    print(`   ${row.result}, ${seconds(row.ms)}`)
    return done
  }

  table(): void {
    const total = { what: 'all', result: '', ms: performance.now() - this.#started }
    const rule = '-'.repeat(columns.what + columns.vmm + columns.result + columns.time)
    print('', styleText('bold', line('what', 'where', 'result', 'took')), rule)
    for (const { what, vmm = 'host', result, ms } of this.#rows) print(line(what, vmm, result, seconds(ms)))
    print(rule, line(total.what, '', '', seconds(total.ms)))
  }
}

function line(what: string, vmm: string, result: string, took: string): string {
  return what.padEnd(columns.what) + vmm.padEnd(columns.vmm) + result.padEnd(columns.result) + took.padStart(columns.time)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

/** A line that a guest wrote: it cannot steer the terminal, and takes one row of it. */
export function printGuestLine(text: string): void {
  const plain = `   | ${stripVTControlCharacters(text).replace(/\p{Cc}/gu, ' ')}`
  print(styleText('dim', plain.length > width ? `${plain.slice(0, width - 3)}...` : plain))
}

export function print(...lines: string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}
