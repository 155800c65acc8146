import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { CommandRow, IntentRow, MachineRow, SandboxRow } from '../../store/rows.ts'
import { adoptHostMachine } from '../../vmm/host/host.ts'
import { endUnreachable } from '../../vmm/unreachable.ts'
import type { Machine, VmmName } from '../../vmm/vmm.ts'
import { openVmm } from '../machine/choose-vmm.ts'
import { hostVariables, hostRoot } from '../machine/host-compat.ts'
import { followOver } from '../machine/exec.ts'
import { openLink } from '../machine/link.ts'
import { removeLeftovers } from '../machine/leftovers.ts'
import { guestVariables } from '../machine/variables.ts'
import { attend } from '../sandbox/command.ts'
import { checkpointSoon } from '../sandbox/checkpoint.ts'
import { removeSandboxDirectory, sandboxFiles } from '../sandbox/directory.ts'
import { sandboxOf } from '../sandbox/enter.ts'
import { watchIdle } from '../sandbox/idle.ts'
import { finishRemoval } from '../sandbox/remove.ts'
import type { Live, Sandbox } from '../sandbox/sandbox.ts'
import { adoptLive } from '../sandbox/start.ts'
import { stopLive } from '../sandbox/stop.ts'
import { died } from '../sandbox/watch.ts'
import { watchExpiry } from '../vm/expiry.ts'
import type { Orchestrator } from './orchestrator.ts'

/** A host with no time to spare may need a second one. */
const mostTries = 2

/** Makes what an earlier owner left ours: its running machines, its running commands, what it had half done. */
export async function takeOver(orchestrator: Orchestrator): Promise<void> {
  const { store } = orchestrator
  await Promise.all(store.machines().map((row) => takeMachine(orchestrator, row)))
  for (const intent of store.intents()) await settleIntent(orchestrator, intent)
  for (const row of store.sandboxes()) takeSandbox(orchestrator, row)
  await endOrphans(orchestrator)
}

async function takeMachine(orchestrator: Orchestrator, row: MachineRow): Promise<void> {
  const { store, room } = orchestrator
  const machine = await adopt(orchestrator, row.vmm, row.id)
  const sandbox = row.sandboxId === null ? undefined : store.sandbox(row.sandboxId)
  const waited = row.details['sandboxId']
  if (!machine || sandbox?.machineId !== row.id) {
    const held = sandbox?.id ?? waited
    if (machine) await machine[Symbol.asyncDispose]()
    else if (typeof held === 'string') await endUnreachable(sandboxFiles(orchestrator.paths, held).lock)
    if (sandbox?.machineId === row.id) died(orchestrator, sandbox.id, row.id, 'host')
    else store.deleteMachine(row.id)
    if (row.kind === 'warm' && typeof waited === 'string') await removeSandboxDirectory(sandboxFiles(orchestrator.paths, waited))
    return
  }
  const vmm = { name: row.vmm as Live['vmm'] }
  const live = adoptLive(orchestrator, sandboxOf(orchestrator, sandbox.id), { machine, vmm, variables: variablesOf(orchestrator, sandbox) }, room.take(sandbox.memMib), await machine.isPaused())
  await Promise.resolve() // one that waits for room says so first
  store.updateSandbox(sandbox.id, { state: 'started', paused: live.paused })
}

/** The running machine of that id, if it can be reached. */
async function adopt({ paths, env }: Orchestrator, vmm: string, id: string): Promise<Machine | undefined> {
  for (let tries = mostTries; tries > 0; tries -= 1) {
    try {
      return vmm === 'host' ? await adoptHostMachine(paths, id) : await (await openVmm(paths, env, vmm as VmmName)).adopt(id)
    } catch {
      // It does not answer.
    }
  }
  return undefined
}

function variablesOf({ paths, env }: Orchestrator, { id, vmm }: SandboxRow): Record<string, string> {
  return vmm === 'host' ? hostVariables(env, hostRoot(sandboxFiles(paths, id))) : guestVariables
}

/** Finishes what cannot be undone, undoes what was not finished. */
async function settleIntent(orchestrator: Orchestrator, { id, kind, sandboxId, payload }: IntentRow): Promise<void> {
  const { store, paths } = orchestrator
  if (kind === 'delete') {
    const { live } = sandboxOf(orchestrator, sandboxId)
    await live?.machine[Symbol.asyncDispose]()
    await finishRemoval(orchestrator, sandboxId)
    orchestrator.sandboxes.delete(sandboxId)
  } else if (kind === 'create') {
    if (!store.sandbox(sandboxId)) await removeSandboxDirectory(sandboxFiles(paths, sandboxId))
    store.closeIntent(id)
  } else if (kind === 'stop') {
    const sandbox = orchestrator.sandboxes.get(sandboxId)
    const stoppedBy = payload['stoppedBy'] as NonNullable<SandboxRow['stoppedBy']>
    store.closeIntent(id)
    if (sandbox?.live) await stopLive(orchestrator, sandbox, stoppedBy).catch(() => {}) // one that waits for room goes on
    else if (store.sandbox(sandboxId)) store.updateSandbox(sandboxId, { state: 'stopped', stoppedBy, error: null })
  }
}

function takeSandbox(orchestrator: Orchestrator, row: SandboxRow): void {
  const { store } = orchestrator
  const sandbox = orchestrator.sandboxes.get(row.id)
  // One whose start was under way has no machine on record yet.
  if (row.state === 'started' && !sandbox?.live) store.updateSandbox(row.id, { state: 'stopped', stoppedBy: 'host', paused: false, machineId: null, cleanStop: false })
  for (const command of store.commands(row.id, { state: 'running' })) {
    if (sandbox?.live?.machine.id === command.machineId) takeCommand(orchestrator, sandbox, sandbox.live, command)
    else store.endCommand(command, { state: 'lost', exitCode: null, timedOut: false, durationMs: 0, stdoutBytes: command.stdoutBytes, stderrBytes: command.stderrBytes })
  }
  if (row.kind === 'vm') watchExpiry(orchestrator, row)
  else if (sandbox) watchIdle(orchestrator, sandbox)
}

/** Sees a command to its end that an earlier owner had started. */
function takeCommand(orchestrator: Orchestrator, sandbox: Sandbox, live: Live, row: CommandRow): void {
  sandbox.uses += 1
  const following = attend(orchestrator, sandbox, live, row, (sink, { stdout, stderr }) =>
    followOver(live.link, row.execId, { stdout: BigInt(stdout), stderr: BigInt(stderr) }, { onOutput: sink, lossy: true }),
  )
  void following
    .catch(() => {}) // it is on record
    .finally(() => {
      sandbox.uses -= 1
      sandbox.usedAt = performance.now()
      if (sandbox.live) checkpointSoon(orchestrator, sandbox, sandbox.live)
      watchIdle(orchestrator, sandbox)
    })
}

/** Ends the machines that are on no record, gently: they may be all that is left of a damaged store. */
async function endOrphans(orchestrator: Orchestrator): Promise<void> {
  const { paths, store } = orchestrator
  const known = new Set(store.machines().map(({ id }) => id))
  const found = (await readdir(paths.machines).catch(() => [])).filter((id) => !known.has(id))
  for (const id of found.filter((name) => existsSync(join(paths.sockets, name, 'monitor')))) {
    const machine = await adopt(orchestrator, existsSync(join(paths.sockets, id, 'qmp')) ? 'qemu-tcg' : 'host', id)
    if (!machine) {
      await endUnreachable(join(paths.machines, id, 'lock'))
      continue
    }
    using link = openLink(machine)
    await machine.resume()
    const flushed = link.guest().then((guest) => guest.agent.shutdown({}, { timeoutMs: 10_000 }))
    await Promise.race([flushed, machine.ended]).catch(() => {})
    await machine[Symbol.asyncDispose]()
  }
  await removeLeftovers(paths, known)
}
