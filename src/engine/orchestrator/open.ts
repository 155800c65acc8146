import { mkdirSync, statfsSync } from 'node:fs'
import { ownState } from '../../store/lock.ts'
import { openStore } from '../../store/open.ts'
import type { Engine } from '../engine.ts'
import { enter } from '../sandbox/enter.ts'
import { removeSandbox } from '../sandbox/remove.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { stopLive } from '../sandbox/stop.ts'
import { takeOver } from './adopt.ts'
import type { Orchestrator } from './orchestrator.ts'
import { recoveryOf } from './recovery.ts'
import { removeForgotten, retentionSeconds } from './retention.ts'
import { Room } from './room.ts'
import { relieve } from './memory.ts'
import { TemplateForks } from './warm.ts'

/** What is put on record when a state directory is taken over has room in this: 1 MiB. */
const recordsBytes = 1024 ** 2
const memoryEveryMs = 5000
const retentionEveryMs = 3600_000

/** Takes the state directory over: records are opened, running machines adopted, what was half done finished or undone. */
export async function openOrchestrator(engine: Engine): Promise<Orchestrator> {
  mkdirSync(engine.paths.state, { recursive: true, mode: 0o700 })
  const room = new Room(engine.env)
  retentionSeconds(engine.env) // a wrong value is found before anything is owned
  const owned = ownState(engine.paths)
  try {
    return await begin(engine, room, owned)
  } catch (error) {
    owned[Symbol.dispose]()
    throw error
  }
}

async function begin(engine: Engine, room: Room, owned: Disposable): Promise<Orchestrator> {
  const opened = await openStore(engine.paths)
  const { store } = opened
  const leaving = new AbortController()
  const sandboxes = new Map<string, Sandbox>()
  const warm = new TemplateForks(engine.env)
  let busyAt = performance.now()
  const lives = () => [...sandboxes.values()].flatMap(({ live }) => live ?? [])
  const orchestrator: Orchestrator = {
    ...engine,
    store,
    sandboxes,
    room,
    warm,
    leaving: leaving.signal,
    recovery: recoveryOf(opened),
    idleSince() {
      const busy = room.taken > 0
      if (busy) busyAt = performance.now()
      return busy ? undefined : busyAt
    },
    status: () => ({
      workspaces: store.sandboxes('workspace').length,
      machines: { running: lives().filter(({ paused }) => !paused).length, paused: lives().filter(({ paused }) => paused).length, warm: warm.count },
      calls: [...sandboxes.values()].reduce((sum, { uses }) => sum + uses, 0),
    }),
    stopMachines: () => stopMachines(orchestrator),
    async [Symbol.asyncDispose]() {
      if (leaving.signal.aborted) return
      leaving.abort()
      for (const timer of timers) clearInterval(timer)
      for (const sandbox of sandboxes.values()) letGo(sandbox)
      await warm.giveUpAll()
      store.close()
      owned[Symbol.dispose]()
    },
  }
  const timers = [
    setInterval(() => void relieve(orchestrator).catch(() => {}), memoryEveryMs),
    setInterval(() => void removeForgotten(orchestrator).catch(() => {}), retentionEveryMs),
  ]
  for (const timer of timers) timer.unref()
  try {
    await (isFull(engine.paths.state) ? store.withReserve(() => takeOver(orchestrator)) : takeOver(orchestrator))
    void removeForgotten(orchestrator).catch(() => {})
    return orchestrator
  } catch (error) {
    await orchestrator[Symbol.asyncDispose]()
    throw error
  }
}

/** Whether the records cannot grow. */
function isFull(state: string): boolean {
  const { bavail, bsize } = statfsSync(state)
  return bavail * bsize < recordsBytes
}

/** The machine goes on by itself; what runs in it is taken up by the next owner. */
function letGo({ live, idleTimer }: Sandbox): void {
  clearTimeout(idleTimer)
  if (!live) return
  live.leaving = true
  live.released = true
  live.link[Symbol.dispose]()
  live.machine.release()
}

/** Goes on with the others when one cannot be stopped, and says so then. */
async function stopMachines(orchestrator: Orchestrator): Promise<void> {
  await orchestrator.warm.giveUpAll()
  const failures: unknown[] = []
  for (const sandbox of [...orchestrator.sandboxes.values()]) await stopOne(orchestrator, sandbox).catch((error: unknown) => failures.push(error))
  if (failures.length > 0) throw failures[0]
}

async function stopOne(orchestrator: Orchestrator, { id, live }: Sandbox): Promise<void> {
  const row = orchestrator.store.sandbox(id)
  if (!live || !row) return
  if (row.kind === 'vm') return removeSandbox(orchestrator, 'vm', id, {})
  using stay = await enter(orchestrator, 'workspace', id, 'workspace_stop', {})
  await stopLive(orchestrator, stay.sandbox, 'host')
}
