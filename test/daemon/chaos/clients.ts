import type { Caller } from '../../../src/contract/call.ts'
import { PyroError } from '../../../src/contract/errors.ts'
import { environment } from '../../behaviours/home.ts'
import type { Known, Ledger } from './ledger.ts'
import type { Random } from './random.ts'

/** How often each operation is chosen. */
const weights = { create: 2, exec: 8, exec_slowly: 3, exec_unflushed: 3, stop: 2, start: 2, update: 3, logs: 2, list: 1, status: 1, delete: 1 }
type Operation = keyof typeof weights

const mostWorkspaces = 4
/** How many files a command writes. */
const filesEach = 4

/** What a call may fail with while daemons and machines are killed, disks full, and others work on the same workspaces. */
const expected: ReadonlySet<string> = new Set(['daemon_failed', 'vmm_exited', 'guest_unresponsive', 'wrong_state', 'not_found', 'no_space', 'too_many_machines'])

export interface Client {
  /** Carries out one operation; never rejects. */
  act(): Promise<void>
}

interface Making {
  name: string
  caller: Caller
  ledger: Ledger
  random: Random
}

/** One of several that work on the same workspaces. */
export function chaosClient({ name, caller, ledger, random }: Making): Client {
  let count = 0

  async function act(): Promise<void> {
    const present = ledger.present()
    const operation = present.length === 0 ? 'create' : random.weighted(present.length < mostWorkspaces ? weights : { ...weights, create: 0 })
    try {
      if (operation === 'create') ledger.known((await caller.call('workspace_create', { environment, mem_mib: 256 })).workspace_id)
      else await onOne(operation, random.pick(present))
    } catch (error) {
      const { code, message } = PyroError.from(error)
      if (!expected.has(code)) ledger.faults.push(`${name}: ${operation}: ${code}: ${message}${code === 'internal' ? `\n${String((error as Error).stack)}` : ''}`)
    }
  }

  async function onOne(operation: Exclude<Operation, 'create'>, known: Known): Promise<void> {
    const { id } = known
    if (operation === 'exec' || operation === 'exec_slowly' || operation === 'exec_unflushed') await execute(known, operation)
    else if (operation === 'stop') await stop(known)
    else if (operation === 'start') await caller.call('workspace_start', { workspace_id: id })
    else if (operation === 'update') await update(known)
    else if (operation === 'logs') await readLogs(known)
    else if (operation === 'list') await look(ledger.present())
    else if (operation === 'status') await caller.call('workspace_status', { workspace_id: id })
    else await remove(known)
  }

  /** Writes numbered files and tells each behind its flush; leaves a mark, so that a second run of the same command is seen. */
  async function execute(known: Known, how: 'exec' | 'exec_slowly' | 'exec_unflushed'): Promise<void> {
    const mark = `${name}-${(count += 1)}`
    const files = Array.from({ length: filesEach }, (_, i) => `${mark}-${i}`)
    const flush = how === 'exec_unflushed' ? ':' : random.pick(['sync $f', 'sync'])
    const wait = how === 'exec_slowly' ? 'sleep 0.3;' : ''
    const exit = random.below(2) * 3
    const command = `mkdir .ran-${mark} || echo twice; for f in ${files.join(' ')}; do echo $f >$f; ${flush}; echo $f; ${wait} done; echo end >&2; exit ${exit}`
    const losses = ledger.losses
    const told = (text: string) => {
      if (how !== 'exec_unflushed') for (const line of text.split('\n').slice(0, -1)) known.kept.add(line)
    }
    let text = ''
    const streamed = random.below(2) === 0
    const result = await caller.call(
      'workspace_exec',
      { workspace_id: known.id, command, timeout_seconds: 60 },
      {
        onStarted: ({ sequence }) => void known.begun.set(sequence, ledger.dangers(known)),
        ...(streamed && {
          onOutput: (stream, data) => {
            if (stream === 'stdout') told((text += Buffer.from(data).toString()))
          },
        }),
      },
    )
    const whole = files.map((file) => `${file}\n`).join('')
    const stdout = streamed ? text : result.stdout
    told(stdout)
    known.answered.set(result.sequence, result)
    if (losses !== ledger.losses) return // on a full disk its output is not kept
    const isWhole = result.exit_code === exit && (streamed ? whole === stdout : whole.endsWith(stdout))
    // A daemon that comes back behind a stop finds a command that was ended.
    if (!isWhole && result.exit_code !== 137) ledger.faults.push(`${name}: ${command} was answered by ${result.exit_code} and ${JSON.stringify(stdout)}`)
    if (isWhole && how === 'exec_unflushed') for (const file of files) known.unflushed.add(file)
  }

  async function stop(known: Known): Promise<void> {
    const before = [...known.unflushed]
    const { losses } = ledger
    known.stops += 1
    const { metadata } = await caller.call('workspace_stop', { workspace_id: known.id }).finally(() => (known.stops += 1))
    if (losses !== ledger.losses) return
    if (metadata['error']?.includes('did not unmount')) ledger.faults.push(`${name}: the stop of ${known.id} was not clean, though nothing had been killed`)
    for (const file of before) known.kept.add(file)
  }

  async function update(known: Known): Promise<void> {
    const value = String((count += 1))
    const possible = known.labels.get(name) ?? new Set()
    known.labels.set(name, possible.add(value))
    await caller.call('workspace_update', { workspace_id: known.id, labels: { [name]: value } })
    known.labels.set(name, new Set([value]))
  }

  async function readLogs({ id, answered, presence }: Known): Promise<void> {
    const before = [...answered.keys()]
    const { entries } = await caller.call('workspace_logs', { workspace_id: id })
    const missing = before.filter((sequence) => !entries.some((entry) => entry.sequence === sequence))
    if (missing.length > 0) ledger.faults.push(`${name}: commands ${missing.join(', ')} of ${id} (${presence}) are not in its logs`)
  }

  async function look(there: Known[]): Promise<void> {
    const { workspaces } = await caller.call('workspace_list', {})
    const missing = there.filter(({ id, presence }) => presence === 'there' && !workspaces.some(({ workspace_id }) => workspace_id === id))
    for (const { id } of missing) ledger.faults.push(`${name}: ${id} is not listed`)
  }

  async function remove(known: Known): Promise<void> {
    known.presence = 'unknown'
    await caller.call('workspace_delete', { workspace_id: known.id })
    known.presence = 'gone'
  }

  return { act }
}
