import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Caller } from '../src/contract/call.ts'
import { daemonStatus, stopDaemon } from '../src/daemon/client/control.ts'
import { exec } from '../src/engine/machine/exec.ts'
import { guestVariables, shellCommand, workspacePath } from '../src/engine/machine/variables.ts'
import { handlers } from '../src/engine/operations.ts'
import { openOrchestrator } from '../src/engine/orchestrator/open.ts'
import { pause } from '../src/engine/sandbox/pause.ts'
import { bareFork } from './floor.ts'
import { startFork } from './forks.ts'
import { type Home, temporaryHome } from './home.ts'
import { median, type Row, timed } from './statistics.ts'
import { environment, staticProgram, type Subject } from './subject.ts'

const samples = 20
/** What every command of a workspace is run by is part of the floor, too. */
const command = `exec ${staticProgram.join(' ')}`

/** Workspaces through the daemon, and what keeping them costs. */
export async function workspaceRows(subject: Subject): Promise<Row[]> {
  return [...(await creationRows(subject)), ...(await commandRows(subject)), ...(await engineRows(subject)), ...(await daemonRows(subject))]
}

async function creationRows({ root, floor: template }: Subject): Promise<Row[]> {
  const [floor, cold, warm]: [number[], number[], number[]] = [[], [], []]
  await using coldHome = temporaryHome(root, { PYRO_WARM_FORKS: '0' })
  await using warmHome = temporaryHome(root)
  const createAndRun = async (home: Home) => {
    let id = ''
    const time = await timed(async () => {
      id = await home.create()
      await home.exec(id, command)
    })
    await home.client.call('workspace_delete', { workspace_id: id })
    return time
  }
  for (const home of [coldHome, warmHome]) await createAndRun(home)
  for (let i = 0; i < samples; i++) {
    while ((await daemonStatus(warmHome.paths))?.machines.warm !== 1) await delay(50)
    floor.push(await bareFork(template, shellCommand(command)))
    cold.push(await createAndRun(coldHome))
    warm.push(await createAndRun(warmHome))
  }
  const floorText = 'bare fork, the same command'
  return [
    { what: 'create, first command, by daemon, cold fork', samples: cold, unit: 'ms', floor: median(floor), floorText, limit: 1.7 },
    { what: '… warm fork', samples: warm, unit: 'ms', floor: median(floor), floorText, limit: 0.7 },
  ]
}

async function commandRows(subject: Subject): Promise<Row[]> {
  const { root } = subject
  const [open, agent, node, whole]: [number[], number[], number[], number[]] = [[], [], [], []]
  await using home = temporaryHome(root, { PYRO_WARM_FORKS: '0' })
  await using machine = await startFork(subject)
  const id = await home.create()
  const direct = async () => (await exec(machine.guest, { argv: shellCommand(command), cwd: workspacePath, env: guestVariables, timeoutMs: 0, onOutput: () => {} })).handledUs / 1000
  await direct()
  await home.exec(id, command)
  for (let i = 0; i < 3 * samples; i++) {
    agent.push(await direct())
    open.push(await timed(() => home.exec(id, command)))
  }
  const run = (program: string, ...args: string[]) => timed(async () => void execFileSync(program, args, { stdio: 'ignore', env: home.env }))
  for (let i = 0; i < samples; i++) {
    node.push(await run(process.execPath, '-e', '0'))
    whole.push(await run(join(root, 'bin/pyro'), 'workspace', 'exec', id, '--', '/bin/true'))
  }
  return [
    { what: 'command, open client', samples: open, unit: 'ms', floor: median(agent), floorText: "the agent's own time", limit: 1.3 },
    { what: 'pyro workspace exec ID -- /bin/true', samples: whole, unit: 'ms', floor: 4 * median(node) + median(open), floorText: '4 × node -e 0 + a command', limit: 1 },
  ]
}

/** What only the engine itself can be made to do at a given moment. */
async function engineRows({ root, engine }: Subject): Promise<Row[]> {
  await using home = temporaryHome(root)
  const env = { ...home.env, PYRO_WARM_FORKS: '0' }
  await using orchestrator = await openOrchestrator({ paths: { ...engine.paths, ...home.paths }, env })
  const caller: Caller = { call: async (name, input, call = {}) => (await handlers[name]())(orchestrator, input, call) }
  const { workspace_id: id } = await caller.call('workspace_create', { environment })
  const run = () => caller.call('workspace_exec', { workspace_id: id, command })
  const sandbox = orchestrator.sandboxes.get(id)
  const live = sandbox?.live
  if (!sandbox || !live) throw new Error('there is no machine')
  await run()
  const [alone, wake, clean, next]: [number[], number[], number[], number[]] = [[], [], [], []]
  for (let i = 0; i < 2 * samples; i++) {
    await sandbox.checkpoint
    alone.push(await timed(run))
    next.push(await timed(run)) // begins while the last one's checkpoint is taken
    await sandbox.checkpoint
    const { agent } = await live.link.guest()
    const sequence = BigInt((orchestrator.store.sandbox(id)?.checkpoint ?? 0) + 1)
    clean.push(await timed(() => agent.checkpoint({ sequence, keep: 20 })))
    await pause(orchestrator, sandbox, live)
    wake.push(await timed(run))
  }
  await caller.call('workspace_delete', { workspace_id: id })
  const floorText = 'a command'
  return [
    { what: 'wake of a paused workspace, command', samples: wake, unit: 'ms', floor: median(alone), floorText, limit: 2 },
    { what: 'checkpoint, nothing dirty', samples: clean, unit: 'ms', floor: median(alone), floorText, limit: 2 },
    { what: 'command right behind a checkpoint', samples: next, unit: 'ms', floor: median(alone), floorText, limit: 1.1 },
  ]
}

async function daemonRows(subject: Subject): Promise<Row[]> {
  const { root } = subject
  const [node, start]: [number[], number[]] = [[], []]
  {
    await using home = temporaryHome(root, { PYRO_WARM_FORKS: '0' })
    await home.client.call('workspace_list', {})
    for (let i = 0; i < samples; i++) {
      await stopDaemon(home.paths, home.env, { machines: false, force: false })
      node.push(await timed(async () => void execFileSync(process.execPath, ['-e', '0'])))
      start.push(await timed(() => home.client.call('workspace_list', {})))
    }
  }
  const memory: Record<number, number[]> = {}
  {
    await using home = temporaryHome(root, { PYRO_MAX_MACHINES: '64' })
    for (let count = 1; count <= 50; count++) {
      await home.exec(await home.create(256), 'echo ready')
      if (count === 10 || count === 50) memory[count] = [((await daemonStatus(home.paths))?.memory_bytes ?? NaN) / 1024 ** 2]
    }
  }
  return [
    { what: 'daemon, start to first answer', samples: start, unit: 'ms', floor: median(node), floorText: 'node -e 0', limit: 6 },
    { what: 'daemon with 10 workspaces', samples: memory[10] ?? [], unit: 'MiB', floor: 150, floorText: 'limit', limit: 1 },
    { what: '… with 50', samples: memory[50] ?? [], unit: 'MiB', floor: 200, floorText: 'limit', limit: 1 },
    ...(await throughputRow(subject)),
  ]
}

const clients = 16
const callsInAll = 2000

/** The same calls by sixteen callers at once: through the daemon, and by the engine in one process. */
async function throughputRow({ root, engine }: Subject): Promise<Row[]> {
  const mixed = async (caller: Caller, ids: string[], count: number, seed: number) => {
    for (let i = 0; i < count; i++) {
      const workspace_id = ids[(i + seed) % ids.length] ?? ''
      const kind = (i * 7 + seed) % 10
      if (kind < 5) await caller.call('workspace_exec', { workspace_id, command: ':' })
      else if (kind < 7) await caller.call('workspace_status', { workspace_id })
      else if (kind < 8) await caller.call('workspace_list', {})
      else if (kind < 9) await caller.call('workspace_logs', { workspace_id, sequence: 1 })
      else await caller.call('workspace_update', { workspace_id, labels: { round: `${seed}-${i}` } })
    }
  }
  const measure = async (callers: Caller[], create: () => Promise<string>) => {
    const ids = await Promise.all(Array.from({ length: 4 }, create))
    for (const workspace_id of ids) await callers[0]?.call('workspace_exec', { workspace_id, command: ':' })
    return timed(() => Promise.all(callers.map((caller, i) => mixed(caller, ids, callsInAll / clients, i))))
  }
  const env = { PYRO_WARM_FORKS: '0' }
  const { createClient } = await import('../src/daemon/client/client.ts')
  let byDaemon: number
  {
    await using home = temporaryHome(root, env)
    await home.client.call('workspace_list', {})
    byDaemon = await measure(Array.from({ length: clients }, () => createClient(home.paths, home.env)), () => home.create())
  }
  await using home = temporaryHome(root, env)
  await using orchestrator = await openOrchestrator({ paths: { ...engine.paths, ...home.paths }, env: home.env })
  const caller: Caller = { call: async (name, input, call = {}) => (await handlers[name]())(orchestrator, input, call) }
  const alone = await measure(Array.from({ length: clients }, () => caller), async () => (await caller.call('workspace_create', { environment })).workspace_id)
  for (const { id } of orchestrator.store.sandboxes()) await caller.call('workspace_delete', { workspace_id: id })
  return [{ what: '2,000 mixed calls of 16 clients', samples: [byDaemon], unit: 'ms', floor: alone, floorText: 'one process calling the engine', limit: 1.25 }]
}
