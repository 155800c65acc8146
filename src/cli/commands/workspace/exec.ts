import type { execWorkspace } from '../../../contract/workspaces.ts'
import { passage, stdinBytes } from '../../streams.ts'
import { type CommandAction, printResult, progressLines } from '../command.ts'

export const exec: CommandAction<typeof execWorkspace> = async (input, context) => {
  const { json, signal } = context
  await using client = await context.connect()
  const streams = passage()
  const result = await client.call('workspace_exec', input, {
    signal,
    progress: progressLines(json),
    onOutput: json ? undefined : streams.pass,
    stdin: input.interactive ? stdinBytes() : undefined,
  })
  if (json) printResult(context, result, [])
  else {
    const { workspace_id, sequence, cwd, execution_mode, exit_code, duration_ms } = result
    streams.conclude(
      `[workspace-exec] workspace_id=${workspace_id} sequence=${sequence} cwd=${cwd} execution_mode=${execution_mode} exit_code=${exit_code} duration_ms=${duration_ms}`,
    )
  }
  return result.exit_code
}
