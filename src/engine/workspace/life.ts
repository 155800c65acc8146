import { parseInput } from '../../contract/operation.ts'
import { deleteWorkspace as deleteOperation, startWorkspace as startOperation, stopWorkspace as stopOperation } from '../../contract/workspaces.ts'
import type { Handler } from '../handler.ts'
import { enter } from '../sandbox/enter.ts'
import { removeSandbox } from '../sandbox/remove.ts'
import { evenWhenFull } from '../sandbox/reserve.ts'
import { stopLive } from '../sandbox/stop.ts'
import { workspacePayload } from './payload.ts'

export const stopWorkspace: Handler<'workspace_stop'> = async (orchestrator, input, { signal }) => {
  const { workspace_id: id } = parseInput(stopOperation, input)
  using stay = await enter(orchestrator, 'workspace', id, 'workspace_stop', { signal })
  const used = stay.used()
  await stopLive(orchestrator, stay.sandbox, 'user')
  // One that memory pressure had stopped stays stopped now, too.
  return workspacePayload(orchestrator, await evenWhenFull(orchestrator.store, () => orchestrator.store.updateSandbox(id, { ...used, stoppedBy: 'user' })))
}

export const startWorkspace: Handler<'workspace_start'> = async (orchestrator, input, { signal, progress }) => {
  const { workspace_id: id } = parseInput(startOperation, input)
  using stay = await enter(orchestrator, 'workspace', id, 'workspace_start', { signal, progress })
  return workspacePayload(orchestrator, orchestrator.store.updateSandbox(id, stay.used()))
}

export const deleteWorkspace: Handler<'workspace_delete'> = async (orchestrator, input, { signal }) => {
  const { workspace_id: id } = parseInput(deleteOperation, input)
  await removeSandbox(orchestrator, 'workspace', id, { signal })
  return { workspace_id: id, deleted: true, reason: 'explicit_delete' }
}
