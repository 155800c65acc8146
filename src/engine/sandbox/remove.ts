import type { SandboxRow } from '../../store/rows.ts'
import type { CallOptions } from '../engine.ts'
import { now } from '../clock.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import { removeSandboxDirectory, sandboxFiles } from './directory.ts'
import { enter, sandboxOf } from './enter.ts'
import { intend } from './intent.ts'
import { evenWhenFull } from './reserve.ts'
import { dropLive } from './stop.ts'

/** Ends the sandbox's machine and removes all that is on record or on disk of it. Once begun it is carried through, by whoever comes next if need be. */
export async function removeSandbox(orchestrator: Orchestrator, kind: SandboxRow['kind'], id: string, { signal }: CallOptions, event?: string): Promise<void> {
  if (orchestrator.store.damagedSandboxes().includes(id)) return remove(orchestrator, id)
  using _stay = await enter(orchestrator, kind, id, 'workspace_delete', { signal })
  await evenWhenFull(orchestrator.store, () => remove(orchestrator, id, event))
}

async function remove(orchestrator: Orchestrator, id: string, event?: string): Promise<void> {
  const { store, sandboxes } = orchestrator
  intend(store, { id: intentOf(id), sandboxId: id, kind: 'delete', payload: {} })
  const sandbox = sandboxOf(orchestrator, id)
  if (sandbox.live) await dropLive(sandbox, sandbox.live)
  await finishRemoval(orchestrator, id, event)
  sandboxes.delete(id)
}

function intentOf(id: string): string {
  return `delete-${id}`
}

/** The part of a removal that can be repeated. */
export async function finishRemoval({ store, paths }: Orchestrator, id: string, event?: string): Promise<void> {
  await removeSandboxDirectory(sandboxFiles(paths, id))
  store.transaction(() => {
    store.deleteSandbox(id)
    store.closeIntent(intentOf(id))
    if (event !== undefined) store.appendEvent(null, { kind: event, recordedAt: now(), payload: { id } })
  })
}
