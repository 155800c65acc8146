import type { OutputOf } from '../../../src/contract/operation.ts'
import type { OperationNamed } from '../../../src/contract/operations.ts'

export type Executed = OutputOf<OperationNamed<'workspace_exec'>>

/** What a client knows of a workspace: what it was told, and what may have happened behind an answer that never came. */
export interface Known {
  id: string
  /** `unknown`: a deletion was asked for, and its answer never came. */
  presence: 'there' | 'unknown' | 'gone'
  /** Files that were flushed before the flush was told, or by an answered stop. */
  kept: Set<string>
  /** Files that their command wrote without flushing them; lost with the next machine that dies. */
  unflushed: Set<string>
  /** Commands that were answered, by their number. */
  answered: Map<number, Executed>
  /** Commands that are known to have begun, by their number, and what could have cost them their machine by then. */
  begun: Map<number, string>
  /** Rises when a stop is asked for and when it is over. */
  stops: number
  /** Marks of the commands that were lost, although their machine lives: they have never begun. */
  neverBegun: Set<string>
  /** What each label may be: what was answered last, and what was asked for since. */
  labels: Map<string, Set<string>>
}

/** What all clients know together. */
export class Ledger {
  readonly #known = new Map<string, Known>()
  #round = 0
  #calm = false
  /** Raised with everything that can cost what was not flushed. */
  losses = 0
  /** Failures that are none of those to be expected, and the like. */
  readonly faults: string[] = []

  known(id: string): Known {
    let known = this.#known.get(id)
    if (!known) this.#known.set(id, (known = { id, presence: 'there', kept: new Set(), unflushed: new Set(), answered: new Map(), begun: new Map(), stops: 0, neverBegun: new Set(), labels: new Map() }))
    return known
  }

  all(): Known[] {
    return [...this.#known.values()]
  }

  /** Those that operations are tried on. */
  present(): Known[] {
    return this.all().filter(({ presence }) => presence === 'there')
  }

  /** Nothing but daemons is killed in this round. */
  begin({ calm }: { calm: boolean }): void {
    this.#round += 1
    this.#calm = calm
  }

  /** What can have cost a command its machine by now. */
  dangers({ stops }: Known): string {
    return `round ${this.#round}, ${stops} stops`
  }

  /** Whether nothing since then can have cost a command its machine. */
  isSafe(known: Known, dangers: string): boolean {
    return this.#calm && dangers === this.dangers(known)
  }

  /** A machine dies, or a disk is full under it. */
  lose(): void {
    this.losses += 1
    for (const { unflushed } of this.all()) unflushed.clear()
  }
}
