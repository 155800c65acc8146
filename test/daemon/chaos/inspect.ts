import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Call } from '../../../src/contract/call.ts'
import type { InputOf, OutputOf } from '../../../src/contract/operation.ts'
import type { OperationName, OperationNamed } from '../../../src/contract/operations.ts'
import { handlers } from '../../../src/engine/operations.ts'
import { openOrchestrator } from '../../../src/engine/orchestrator/open.ts'
import type { Orchestrator } from '../../../src/engine/orchestrator/orchestrator.ts'
import { sandboxFiles } from '../../../src/engine/sandbox/directory.ts'
import { commandLine, type Home, processesUsing, until } from '../../behaviours/home.ts'
import type { Known, Ledger } from './ledger.ts'

/** How the inspection's own commands begin. */
const ours = ': inspection '

type Entry = OutputOf<OperationNamed<'workspace_logs'>>['entries'][number]

interface Inspector {
  home: Home
  ledger: Ledger
  orchestrator: Orchestrator
  call<Name extends OperationName>(name: Name, input: InputOf<OperationNamed<Name>>, call?: Call): Promise<OutputOf<OperationNamed<Name>>>
}

/** Takes the state directory over, with nobody else at it, and compares it with what the clients were told. */
export async function inspect(home: Home, ledger: Ledger): Promise<void> {
  await using orchestrator = await openOrchestrator(home.engine)
  const inspector: Inspector = { home, ledger, orchestrator, call: async (name, input, call = {}) => (await handlers[name]())(orchestrator, input, call) }
  await nothingHalfDone(inspector)
  for (const { id } of orchestrator.store.sandboxes()) ledger.known(id) // made, but the answer never came
  for (const known of ledger.all()) {
    const there = orchestrator.store.sandbox(known.id) !== undefined
    assert.ok(there ? known.presence !== 'gone' : known.presence !== 'there', `${known.id} is ${there ? '' : 'not '}there, and the clients know it as '${known.presence}'`)
    known.presence = there ? 'there' : 'gone'
    if (there) await asTold(inspector, known)
  }
  for (const known of ledger.present()) await works(inspector, known)
  await nothingHalfDone(inspector)
}

/** Records, directories, machines and processes are those of each other. */
async function nothingHalfDone({ home, orchestrator: { store } }: Inspector): Promise<void> {
  const { paths } = home.engine
  assert.deepEqual(store.intents(), [])
  assert.deepEqual(store.damagedSandboxes(), [])
  const rows = store.sandboxes()
  assert.deepEqual(entries(paths.workspaces), rows.map(({ id }) => id).sort())
  const started = rows.filter(({ state }) => state === 'started')
  const machines = started.map(({ machineId }) => String(machineId)).sort()
  assert.deepEqual(store.machines().map(({ id }) => id).sort(), machines)
  await until(`no machines but ${machines.join(', ')}`, () => [paths.machines, paths.sockets].every((directory) => String(entries(directory)) === String(machines)))
  const using = (directory: string, names: string[]) => names.flatMap((name) => processesUsing(join(directory, name)))
  const orphans = () => {
    const known = new Set([...using(paths.machines, machines), ...using(paths.workspaces, started.map(({ id }) => id))])
    return processesUsing(home.directory).filter((pid) => !known.has(pid) && commandLine(pid) !== '')
  }
  try {
    await until('no other processes', () => orphans().length === 0)
  } catch {
    assert.deepEqual(orphans().map((pid) => `${pid} ${commandLine(pid).slice(0, 80)}`), [])
  }
}

/** What was answered is on record, and commands that began are there with all that they wrote. */
async function asTold({ ledger, orchestrator: { store }, call }: Inspector, known: Known): Promise<void> {
  const { id } = known
  const row = store.sandbox(id)
  for (const [name, possible] of known.labels) {
    const value = row?.labels[name]
    assert.ok(value === undefined ? possible.size > 0 : possible.has(value), `label ${name} of ${id} is ${value}, not one of ${[...possible].join(', ')}`)
  }
  await until('every command to end', () => store.commands(id, { state: 'running' }).length === 0, 60_000)
  const { entries: logged } = await call('workspace_logs', { workspace_id: id })
  assert.deepEqual(logged.map(({ sequence }) => sequence), logged.map((_, i) => i + 1))
  assert.equal(new Set(logged.map(({ command }) => command)).size, logged.length, 'no command is twice in the logs')
  for (const [sequence, dangers] of known.begun) {
    const entry = logged.find((each) => each.sequence === sequence)
    assert.ok(entry, `command ${sequence} of ${id} had begun and is not in the logs`)
    if (!ledger.isSafe(known, dangers) || entry.state === 'ended') continue
    assert.deepEqual([entry.state, entry.stdout, entry.stderr], ['lost', '', ''], `command ${sequence} of ${id}, and nothing but daemons was killed`)
    known.neverBegun.add(/mkdir (\S+)/.exec(entry.command)?.[1] ?? '')
  }
  for (const entry of logged.filter(({ command }) => !command.startsWith(ours))) {
    isWhole(entry)
    if (!entry.command.includes('; :; ')) for (const file of entry.stdout.split('\n').slice(0, -1)) known.kept.add(file)
    const answer = known.answered.get(entry.sequence)
    if (answer) assert.deepEqual([entry.state, entry.exit_code, entry.command], ['ended', answer.exit_code, answer.command])
  }
  assert.deepEqual(ledger.faults, [])
}

/** A command that ended by itself has its whole output; one that was ended or lost has the beginning of it. */
function isWhole({ command, state, exit_code, stdout, stderr, stdout_truncated, stderr_truncated }: Entry): void {
  const files = /for f in ([^;]+);/.exec(command)?.[1]?.split(' ') ?? []
  const whole = files.map((file) => `${file}\n`).join('')
  const told = `${command} is in the logs as ${state} with ${exit_code}, ${JSON.stringify(stdout)} and ${JSON.stringify(stderr)}`
  assert.ok(whole.startsWith(stdout), told)
  assert.ok('end\n'.startsWith(stderr), told)
  // On a full disk there is no room for it.
  if (state === 'ended' && exit_code !== 137 && !stdout_truncated && !stderr_truncated) assert.deepEqual([stdout, stderr], [whole, 'end\n'], told)
  if (state === 'ended' && exit_code !== 137) assert.equal(exit_code, Number(/exit (\d)$/.exec(command)?.[1]), told)
}

/** It runs a command, started first if need be, and has every file that it was to keep. */
async function works({ home, orchestrator: { store }, call }: Inspector, { id, kept, neverBegun }: Known): Promise<void> {
  assert.ok(existsSync(sandboxFiles(home.engine.paths, id).disk), `${id} has no disk`)
  await until(`${id} to go on`, async () => (await call('workspace_status', { workspace_id: id })).metadata['waits_for_space'] === undefined)
  if (store.sandbox(id)?.state !== 'started') await call('workspace_start', { workspace_id: id })
  const command = 'while read f; do read c <$f && [ "$c" = "$f" ] || echo "$f"; done; echo works >&2'
  const ran = [...neverBegun].map((mark) => `[ ! -e ${mark} ] || echo ${mark};`).join(' ')
  async function* names() {
    yield Buffer.from([...kept].map((file) => `${file}\n`).join(''))
  }
  const { stdout, stderr } = await call('workspace_exec', { workspace_id: id, command: `${ours}${store.sandbox(id)?.sequence}; ${ran} ${command}`, interactive: true }, { stdin: names() })
  assert.deepEqual([stdout, stderr.split('\n').at(-2)], ['', 'works'], `what ${id} has lost`)
}

function entries(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).sort() : []
}
