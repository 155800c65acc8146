import { PyroError } from '../../contract/errors.ts'
import { parseInput } from '../../contract/operation.ts'
import { listWorkspaces as listOperation, statusWorkspace as statusOperation, updateWorkspace as updateOperation } from '../../contract/workspaces.ts'
import type { SandboxChanges } from '../../store/rows.ts'
import type { Handler } from '../handler.ts'
import { enter, findRow } from '../sandbox/enter.ts'
import { saveRecord } from '../sandbox/record.ts'
import { listedPayload, workspacePayload } from './payload.ts'

export const listWorkspaces: Handler<'workspace_list'> = async (orchestrator, input) => {
  parseInput(listOperation, input)
  const workspaces = orchestrator.store.sandboxes('workspace').map((row) => listedPayload(orchestrator, row))
  return { count: workspaces.length, workspaces }
}

export const statusWorkspace: Handler<'workspace_status'> = async (orchestrator, input) => {
  const { workspace_id: id } = parseInput(statusOperation, input)
  return workspacePayload(orchestrator, findRow(orchestrator, 'workspace', id))
}

/** Labels are merged, then those to be cleared taken away. What changes nothing is refused. */
export const updateWorkspace: Handler<'workspace_update'> = async (orchestrator, input, { signal }) => {
  const { workspace_id: id, name, clear_name: clearName, labels, clear_labels: clearLabels } = parseInput(updateOperation, input)
  if (clearName && name != null) throw new PyroError('invalid_argument', 'name and clear_name cannot be used together')
  using stay = await enter(orchestrator, 'workspace', id, 'workspace_update', { signal })
  const before = stay.row()
  const changes: SandboxChanges = {
    name: clearName ? null : (name ?? before.name),
    labels: Object.fromEntries(Object.entries({ ...before.labels, ...labels }).filter(([key]) => !clearLabels?.includes(key))),
  }
  if (changes.name === before.name && same(changes.labels ?? {}, before.labels)) {
    throw new PyroError('invalid_argument', 'no effective change was asked for', { hint: 'give --name, --clear-name, --label KEY=VALUE or --clear-label KEY with something that changes it' })
  }
  const row = orchestrator.store.updateSandbox(id, { ...changes, ...stay.used() })
  saveRecord(orchestrator, row)
  return workspacePayload(orchestrator, row)
}

function same(a: Record<string, string>, b: Record<string, string>): boolean {
  return Object.keys(a).length === Object.keys(b).length && Object.entries(a).every(([key, value]) => b[key] === value)
}
