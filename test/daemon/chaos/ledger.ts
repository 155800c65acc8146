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
  /** Numbers of the commands that are known to have begun. */
  begun: Set<number>
  /** What each label may be: what was answered last, and what was asked for since. */
  labels: Map<string, Set<string>>
}

/** What all clients know together. */
export class Ledger {
  readonly #known = new Map<string, Known>()
  /** Raised with everything that can cost what was not flushed. */
  losses = 0
  /** Failures that are none of those to be expected, and the like. */
  readonly faults: string[] = []

  known(id: string): Known {
    let known = this.#known.get(id)
    if (!known) this.#known.set(id, (known = { id, presence: 'there', kept: new Set(), unflushed: new Set(), answered: new Map(), begun: new Set(), labels: new Map() }))
    return known
  }

  all(): Known[] {
    return [...this.#known.values()]
  }

  /** Those that operations are tried on. */
  present(): Known[] {
    return this.all().filter(({ presence }) => presence === 'there')
  }

  /** A machine dies, or a disk is full under it. */
  lose(): void {
    this.losses += 1
    for (const { unflushed } of this.all()) unflushed.clear()
  }
}
