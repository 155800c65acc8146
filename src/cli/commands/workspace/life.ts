import type * as operations from '../../../contract/workspaces.ts'
import { type CommandAction, printResult, progressLines } from '../command.ts'
import { block, type Workspace } from './block.ts'

export const create: CommandAction<typeof operations.createWorkspace> = async (input, context) => {
  await using client = await context.connect()
  const workspace = await client.call('workspace_create', input, { signal: context.signal, progress: progressLines(context.json) })
  warnOfHost(workspace)
  return printResult(context, workspace, context.flags.has('--id-only') ? [workspace.workspace_id] : block('Workspace ID', workspace))
}

export const start: CommandAction<typeof operations.startWorkspace> = async (input, context) => {
  await using client = await context.connect()
  const workspace = await client.call('workspace_start', input, { signal: context.signal, progress: progressLines(context.json) })
  warnOfHost(workspace)
  return printResult(context, workspace, block('Started workspace ID', workspace))
}

export const stop: CommandAction<typeof operations.stopWorkspace> = async (input, context) => {
  await using client = await context.connect()
  const workspace = await client.call('workspace_stop', input, { signal: context.signal })
  return printResult(context, workspace, block('Stopped workspace ID', workspace))
}

export const remove: CommandAction<typeof operations.deleteWorkspace> = async (input, context) => {
  await using client = await context.connect()
  const deleted = await client.call('workspace_delete', input, { signal: context.signal })
  return printResult(context, deleted, [`Deleted workspace: ${deleted.workspace_id}`])
}

/** Said with --json too: nobody may miss it. */
function warnOfHost({ execution_mode, metadata }: Workspace): void {
  if (execution_mode !== 'host_compat') return
  const reason = metadata['runtime_reason']
  process.stderr.write(`[warning] NO ISOLATION: commands in this workspace run on this host and may do there what you may${reason ? ` (${reason})` : ''}\n`)
}
