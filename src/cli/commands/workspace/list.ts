import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { OutputOf } from '../../../contract/operation.ts'
import type { listWorkspaces } from '../../../contract/workspaces.ts'
import type { Paths } from '../../../host/paths.ts'
import { escaped, wrapped } from '../../render.ts'
import { readableTime } from '../../times.ts'
import { type CommandAction, type CommandContext, printResult } from '../command.ts'
import { labelList } from './block.ts'
import { recordedIds } from './ids.ts'

type Listed = OutputOf<typeof listWorkspaces>['workspaces'][number]

/** What a terminal is wide that does not say. */
const usualColumns = 80

export const list: CommandAction<typeof listWorkspaces> = async (input, context) => {
  if (context.flags.has('--ids')) return printResult(context, undefined, recordedIds(context.engine.paths))
  return printList(input, context)
}

async function printList(input: Record<string, never>, context: CommandContext): Promise<number> {
  await using client = await context.connect()
  const result = await client.call('workspace_list', input, { signal: context.signal })
  if (!context.json) tellDamage(context.engine.paths)
  const columns = process.stdout.isTTY ? process.stdout.columns || usualColumns : Infinity
  const lines = result.workspaces.map((each) => wrapped(listParts(each), columns))
  return printResult(context, result, lines.length > 0 ? lines : ['No workspaces.'])
}

/** Says that the records had been damaged, for as long as what is left of them is kept. */
function tellDamage({ state, store }: Paths): void {
  const kept = readdirSync(state).filter((name) => name.startsWith(`${basename(store)}.damaged-`) && !/-(wal|shm|journal)$/.test(name)).at(0)
  if (kept === undefined) return
  process.stderr.write(`[notice] the records were damaged, and workspaces found again by their directories: \`pyro daemon status\` says more; the damaged file is kept: ${escaped(join(state, kept))}\n`)
}

/** The fields of a line. */
export function listParts(workspace: Listed): string[] {
  const { name, labels, retention_due_at: due } = workspace
  const labelText = labelList(labels, ',')
  return [
    `[workspace] workspace_id=${workspace.workspace_id}`,
    ...(name === null ? [] : [`name='${escaped(name)}'`]),
    `state=${workspace.state}`,
    `environment=${workspace.environment}`,
    ...(labelText ? [`labels=${labelText}`] : []),
    `last_activity_at='${readableTime(workspace.last_activity_at)}'`,
    `expires_at='${readableTime(workspace.expires_at)}'`,
    `commands=${workspace.command_count}`,
    `services=${workspace.running_service_count}/${workspace.service_count}`,
    ...(workspace.paused ? ['paused=yes'] : []),
    ...(due === null ? [] : [`deleted_at='${readableTime(due)}'`]),
  ]
}
