import type { OutputOf } from '../../../contract/operation.ts'
import type { logsWorkspace } from '../../../contract/workspaces.ts'
import { escaped } from '../../render.ts'
import { type Passage, passage } from '../../streams.ts'
import { type CommandAction, printResult } from '../command.ts'

type Entry = OutputOf<typeof logsWorkspace>['entries'][number]

/** What is told of each stream at a time, and what is kept of it. */
const windowBytes = 1024 ** 2
const keptBytes = 64 * 1024 ** 2

export const logs: CommandAction<typeof logsWorkspace> = async (input, context) => {
  await using client = await context.connect()
  const result = await client.call('workspace_logs', input, { signal: context.signal })
  if (context.json) return printResult(context, result, [])
  if (result.entries.length === 0) return printResult(context, result, ['No workspace logs found.'])
  const streams = passage()
  for (const entry of result.entries) {
    await print(entry, streams)
    const more = input.sequence == null ? left(entry) : rest(entry, input.offset ?? 0)
    if (more) streams.conclude(`[workspace-logs] #${entry.sequence} wrote ${written(entry)}: ${more.replace('ID', input.workspace_id)}`)
  }
  return 0
}

async function print({ sequence, state, exit_code, duration_ms, cwd, command, stdout, stderr }: Entry, { pass }: Passage): Promise<void> {
  const note = state === 'ended' ? '' : ` state=${state}`
  const head = `#${sequence} exit_code=${exit_code ?? 'none'} duration_ms=${duration_ms} cwd=${cwd}${note}`
  await pass('stdout', Buffer.from(`${head}\n$ ${command.split('\n').map(escaped).join('\n')}\n${whole(stdout)}`))
  await pass('stderr', Buffer.from(whole(stderr)))
}

/** How to see what a list leaves out. */
function left({ sequence, stdout_truncated, stderr_truncated }: Entry): string | undefined {
  return stdout_truncated || stderr_truncated ? `pyro workspace logs ID --sequence ${sequence} shows more` : undefined
}

/** How to see what follows in a single command's output. */
function rest({ sequence, stdout_bytes, stderr_bytes }: Entry, offset: number): string | undefined {
  const next = offset + windowBytes
  if (Math.max(stdout_bytes, stderr_bytes) <= next) return undefined
  return next < keptBytes ? `pyro workspace logs ID --sequence ${sequence} --offset ${next} goes on` : 'no more was kept'
}

function written({ stdout_bytes, stderr_bytes }: Entry): string {
  return `${stdout_bytes} bytes to stdout, ${stderr_bytes} to stderr`
}

/** Ends with its line, so that the next entry begins on one. */
function whole(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`
}
