import { mkdirSync } from 'node:fs'
import { ownState } from '../../store/lock.ts'
import { openStore } from '../../store/open.ts'
import type { OpenedStore } from '../../store/store.ts'
import { now } from '../clock.ts'
import type { Engine } from '../engine.ts'
import { enter } from '../sandbox/enter.ts'
import { removeSandbox } from '../sandbox/remove.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { stopLive } from '../sandbox/stop.ts'
import { takeOver } from './adopt.ts'
import type { Orchestrator } from './orchestrator.ts'
import { removeForgotten } from './retention.ts'
import { Room } from './room.ts'
import { relieve } from './memory.ts'
import { TemplateForks } from './warm.ts'

const memoryEveryMs = 5000
const retentionEveryMs = 3600_000

/** Takes the state directory over: records are opened, running machines adopted, what was half done finished or undone. */
export async function openOrchestrator(engine: Engine): Promise<Orchestrator> {
  mkdirSync(engine.paths.state, { recursive: true, mode: 0o700 })
  const room = new Room(engine.env)
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
    ...(opened.recovered && { recovered: opened.recovered }),
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
    setInterval(() => void relieve(orchestrator), memoryEveryMs),
    setInterval(() => void removeForgotten(orchestrator).catch(() => {}), retentionEveryMs),
  ]
  for (const timer of timers) timer.unref()
  try {
    noteRecovery(opened)
    await takeOver(orchestrator)
    void removeForgotten(orchestrator).catch(() => {})
    return orchestrator
  } catch (error) {
    await orchestrator[Symbol.asyncDispose]()
    throw error
  }
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

function noteRecovery({ store, recovered }: OpenedStore): void {
  if (recovered) store.appendEvent(null, { kind: 'store_recovered', recordedAt: now(), payload: { ...recovered } })
}

async function stopMachines(orchestrator: Orchestrator): Promise<void> {
  await orchestrator.warm.giveUpAll()
  for (const { id, live } of [...orchestrator.sandboxes.values()]) {
    const row = orchestrator.store.sandbox(id)
    if (!live || !row) continue
    if (row.kind === 'vm') {
      await removeSandbox(orchestrator, 'vm', id, {})
      continue
    }
    using stay = await enter(orchestrator, 'workspace', id, 'workspace_stop', {})
    await stopLive(orchestrator, stay.sandbox, 'host')
  }
}
