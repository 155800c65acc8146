import type * as operations from '../../../contract/workspaces.ts'
import { type CommandAction, printResult } from '../command.ts'
import { block } from './block.ts'

export const status: CommandAction<typeof operations.statusWorkspace> = async (input, context) => {
  await using client = await context.connect()
  const workspace = await client.call('workspace_status', input, { signal: context.signal })
  return printResult(context, workspace, block('Workspace ID', workspace))
}

export const update: CommandAction<typeof operations.updateWorkspace> = async (input, context) => {
  await using client = await context.connect()
  const workspace = await client.call('workspace_update', input, { signal: context.signal })
  return printResult(context, workspace, block('Workspace ID', workspace))
}
