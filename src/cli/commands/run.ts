import type { run as operation } from '../../contract/run.ts'
import { runInVm } from '../../engine/run.ts'
import { jsonText } from '../render.ts'
import { passage } from '../streams.ts'
import { type CommandAction, progressLines } from './command.ts'

export const run: CommandAction<typeof operation> = async (input, { engine, json, signal }) => {
  const say = (line: string) => void (json || process.stderr.write(`[run] ${line}\n`))
  const streams = passage()
  const result = await runInVm(engine, input, {
    signal,
    progress: progressLines(json),
    onPhase: (phase, id) => say(`phase=${phase} ${phase === 'create' ? `environment=${input.environment}` : `vm_id=${id}`}`),
    // Said with --json too: nobody may miss it.
    onHostCompat: (reason) => void process.stderr.write(`[warning] NO ISOLATION: the command runs on this host and may do there what you may (${reason})\n`),
    onOutput: json ? undefined : streams.pass,
  })
  if (json) process.stdout.write(`${jsonText(result)}\n`)
  else streams.conclude(`[run] environment=${result.environment} execution_mode=${result.execution_mode} exit_code=${result.exit_code} duration_ms=${result.duration_ms}`)
  return result.exit_code
}
