import type { Call } from '../../contract/call.ts'
import { PyroError } from '../../contract/errors.ts'
import { capturedBytes } from '../../contract/run.ts'
import type { CommandRow } from '../../store/rows.ts'
import { Capture } from '../machine/capture.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import { keptBytes, outputStreams, readOutput, type StreamName } from './command-files.ts'
import { sandboxFiles } from './directory.ts'
import { doesNotExist } from './naming.ts'

/** How much is read of a file at a time. */
const chunkBytes = 256 * 1024

export interface FollowedCommand {
  row: CommandRow
  stdout: Capture
  stderr: Capture
}

/** Gives on what a command wrote from the given offsets on, as far as it is kept, and waits for its end. */
export async function followCommand(
  { store, sandboxes, paths }: Orchestrator,
  id: string,
  sequence: number,
  from: Record<StreamName, number>,
  { onOutput, signal }: Pick<Call, 'onOutput' | 'signal'>,
): Promise<FollowedCommand> {
  const find = () => store.commands(id, { sequence })[0]
  if (!find()) throw doesNotExist('workspace', `${id}' command '${sequence}`)
  const running = sandboxes.get(id)?.commands.get(sequence)
  const { commands: directory } = sandboxFiles(paths, id)
  const offsets = { ...from }
  const captures = { stdout: new Capture(capturedBytes), stderr: new Capture(capturedBytes) }
  const giveUp = new Promise<never>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason), { once: true }))
  giveUp.catch(() => {})
  for (;;) {
    signal?.throwIfAborted()
    const changed = running?.changed
    const over = running?.over ?? true
    for (const stream of outputStreams) {
      while (offsets[stream] < keptBytes) {
        const data = readOutput(directory, sequence, stream, offsets[stream], chunkBytes)
        if (data.length === 0) break
        offsets[stream] += data.length
        captures[stream].add(data)
        await onOutput?.(stream, data)
        signal?.throwIfAborted()
      }
    }
    if (over) break
    await Promise.race([changed, giveUp])
  }
  const row = find()
  if (!row) throw doesNotExist('workspace', id)
  if (row.state === 'lost') throw lost(row, sandboxes.get(id)?.live?.machine.id === row.machineId)
  return { row, ...captures }
}

function lost({ sandboxId: id, sequence }: CommandRow, machineLives: boolean): PyroError {
  const hint = `pyro workspace logs ${id} --sequence ${sequence} shows what it wrote`
  return machineLives
    ? new PyroError('daemon_failed', `the daemon ended as it began command ${sequence} of workspace '${id}', which may not have run`, { hint })
    : new PyroError('vmm_exited', `the machine of workspace '${id}' ended while command ${sequence} was running`, { hint })
}
