import { PyroError } from '../../contract/errors.ts'
import { type Exclusion, exclusions } from '../../store/exclusion.ts'
import type { SandboxChanges, SandboxRow } from '../../store/rows.ts'
import type { CallOptions } from '../engine.ts'
import { now } from '../clock.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import { checkpointSoon } from './checkpoint.ts'
import type { Pass } from './gate.ts'
import { watchIdle } from './idle.ts'
import { doesNotExist, noun } from './naming.ts'
import { type Live, Sandbox } from './sandbox.ts'
import { stalledError, unlessStalled } from './stalled.ts'
import { awake, notStarted } from './wake.ts'

/** What is done to a sandbox: of a workspace as the table of exclusions says, of a VM likewise under its workspace's name. */
export type SandboxOperation = keyof typeof exclusions

/** One operation's time in a sandbox. */
export interface Stay extends Disposable {
  readonly sandbox: Sandbox
  /** Aborted when the caller gives up, or when an operation that cannot wait needs the sandbox. */
  readonly signal: AbortSignal
  /** The record as it is now. */
  row(): SandboxRow
  /** Its machine, for an operation that wakes it. */
  live(): Live
  /** What an operation that counts as use changes in the record; to be written with its outcome. */
  used(): SandboxChanges
}

/** The record of a sandbox; `not_found` when there is none of that kind. */
export function findRow({ store }: Orchestrator, kind: SandboxRow['kind'], id: string): SandboxRow {
  const row = store.sandbox(id)
  if (row?.kind !== kind) throw doesNotExist(kind, id)
  return row
}

/** The part in memory of a sandbox that is on record. */
export function sandboxOf({ sandboxes }: Orchestrator, id: string): Sandbox {
  let sandbox = sandboxes.get(id)
  if (!sandbox) sandboxes.set(id, (sandbox = new Sandbox(id)))
  return sandbox
}

/**
 * Begins an operation: waits for those that exclude it and for a checkpoint that
 * it must not overtake, wakes the machine when it needs it. The end of the stay
 * renews the time to live and has a checkpoint follow.
 */
export async function enter(orchestrator: Orchestrator, kind: SandboxRow['kind'], id: string, operation: SandboxOperation, { signal, progress }: CallOptions): Promise<Stay> {
  const rules: Exclusion = exclusions[operation]
  const found = findRow(orchestrator, kind, id)
  const sandbox = sandboxOf(orchestrator, id)
  // Before those inside are told to leave for it.
  if (rules.changes && sandbox.live?.stalled) throw stalledError(id)
  const pass = await admitted(sandbox, rules, new PyroError('wrong_state', `${noun(found)} '${id}' was ended by ${operation}`), signal)
  const leave = begin(orchestrator, sandbox, rules)
  try {
    const row = findRow(orchestrator, kind, id) // it may be gone since
    if (rules.wakes) await awake(orchestrator, sandbox, row, operation, { signal, progress })
    // What ends the machine waits for it by itself, if the guest still answers.
    if (rules.changes && !rules.ends && sandbox.checkpoint) await (sandbox.live ? unlessStalled(sandbox.live, id, sandbox.checkpoint) : sandbox.checkpoint)
  } catch (error) {
    leave(false)
    pass?.[Symbol.dispose]()
    throw error
  }
  return {
    sandbox,
    signal: AbortSignal.any([signal, pass?.signal].filter((one) => one !== undefined)),
    row: () => findRow(orchestrator, kind, id),
    live() {
      if (!sandbox.live) throw notStarted(findRow(orchestrator, kind, id), operation)
      return sandbox.live
    },
    used: () => used(findRow(orchestrator, kind, id), rules),
    [Symbol.dispose]() {
      leave(true)
      pass?.[Symbol.dispose]()
    },
  }
}

function admitted({ gate }: Sandbox, { access, ends }: Exclusion, reason: Error, signal: AbortSignal | undefined): Promise<Pass> | undefined {
  if (access === 'none') return undefined
  return access === 'shared' ? gate.enter(signal) : gate.enterAlone(signal, ends && reason)
}

function begin(orchestrator: Orchestrator, sandbox: Sandbox, rules: Exclusion): (done: boolean) => void {
  if (rules.renews) sandbox.uses += 1
  return (done) => {
    if (rules.renews) sandbox.uses -= 1
    if (rules.renews && done) sandbox.usedAt = performance.now()
    if (done && rules.changes && sandbox.live) checkpointSoon(orchestrator, sandbox, sandbox.live)
    watchIdle(orchestrator, sandbox)
  }
}

function used(row: SandboxRow, { renews, activity }: Exclusion): SandboxChanges {
  const at = now()
  return { ...(renews && { expiresAt: at + row.ttlSeconds, retentionDueAt: null }), ...(activity && { lastActivityAt: at }) }
}
