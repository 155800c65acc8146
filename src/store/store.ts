import type { CommandEnd, CommandRow, EventRow, IntentRow, MachineRow, NewCommand, SandboxChanges, SandboxRow } from './rows.ts'

export interface Page {
  /** All when left out. */
  limit?: number | undefined
  /** The newest first, instead of the oldest. */
  newest?: boolean | undefined
}

export interface CommandQuery extends Page {
  sequence?: number | undefined
  state?: CommandRow['state'] | undefined
}

export interface EventQuery extends Page {
  kinds?: readonly string[] | undefined
  /** Only events with a greater id. */
  after?: number | undefined
}

/**
 * The records of a state directory. Every method is synchronous and one transaction: when it returns, what it
 * wrote survives a crash of the host; when it throws, nothing was written. Rows are copies.
 *
 * Errors: `no_space` (the disk is full), `not_writable` (it cannot be written), `not_found` (the sandbox to be
 * changed is not there), `conflict` (an id that is taken), `wrong_state` (a row or the whole file is damaged).
 */
export interface Store extends Disposable {
  insertSandbox(row: SandboxRow): void
  /** The row as it is then. */
  updateSandbox(id: string, changes: SandboxChanges): SandboxRow
  /** Throws `wrong_state` for one whose row is damaged. */
  sandbox(id: string): SandboxRow | undefined
  /** The last used first: by last activity, then creation, then id. Damaged ones are left out. */
  sandboxes(kind?: SandboxRow['kind']): SandboxRow[]
  /** Ids of the sandboxes whose rows are damaged: they can only be deleted. */
  damagedSandboxes(): string[]
  /** With its commands, events, machines and intents; false when there was none. A crash within may have cost it a part of a long log only. */
  deleteSandbox(id: string): boolean

  insertMachine(row: MachineRow): void
  updateMachine(id: string, changes: Partial<Omit<MachineRow, 'id'>>): void
  deleteMachine(id: string): void
  /** The oldest first. */
  machines(): MachineRow[]

  /** Gives the command the next number of its sandbox, whose last activity it becomes. */
  nextCommand(sandboxId: string, command: NewCommand): CommandRow
  /** False when it was not running: a command ends once. */
  endCommand(command: Pick<CommandRow, 'sandboxId' | 'epoch' | 'sequence'>, end: CommandEnd): boolean
  /** Those of the sandbox's epoch. */
  commands(sandboxId: string, query?: CommandQuery): CommandRow[]

  /** In the sandbox's epoch; a null sandbox is for what outlives every one. */
  appendEvent(sandboxId: string | null, event: Pick<EventRow, 'kind' | 'recordedAt' | 'payload'>): EventRow
  /** Those of the sandbox's epoch. */
  events(sandboxId: string | null, query?: EventQuery): EventRow[]

  /** Needs no sandbox of that id: the intent to create one comes before it. */
  insertIntent(row: IntentRow): void
  closeIntent(id: string): void
  /** Those that are open, the oldest first. */
  intents(sandboxId?: string): IntentRow[]

  /** All that the function writes, or nothing when it throws. It must not be async. */
  transaction<T>(write: () => T extends PromiseLike<unknown> ? never : T): T

  meta(key: string): string | undefined
  setMeta(key: string, value: string | null): void

  /** Gives up the space that is kept back, so that the function can work on a full disk; taken again afterwards, once there is room. */
  withReserve<T>(work: () => T | Promise<T>): Promise<T>

  /** Idempotent; the same as disposing of it. */
  close(): void
}

export interface OpenedStore {
  store: Store
  /** The records were damaged or gone, and sandboxes were found again by their directories. */
  recovered?: Recovered
}

export interface Recovered {
  /** Where the damaged file was moved; null when there was none, or nothing in it. */
  backup: string | null
  /** What was wrong with it, for people. */
  reason: string
  /** Ids of the sandboxes found again, all of them `stopped`. */
  found: string[]
  /** Directories that hold no usable record, and why. They are left as they are. */
  ignored: { path: string; reason: string }[]
}
