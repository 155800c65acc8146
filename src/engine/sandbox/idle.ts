import { longestTimerMs } from '../clock.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import type { Sandbox } from './sandbox.ts'
import { pause } from './pause.ts'

const retryMs = 10_000

/** Has the sandbox paused when nothing was done with it for its time to live. */
export function watchIdle(orchestrator: Orchestrator, sandbox: Sandbox): void {
  clearTimeout(sandbox.idleTimer)
  const { live } = sandbox
  if (!live || live.paused || sandbox.uses > 0 || orchestrator.leaving.aborted) return
  const row = orchestrator.store.sandbox(sandbox.id)
  if (!row || row.kind === 'vm' || !live.machine.pausable) return
  schedule(orchestrator, sandbox, sandbox.usedAt + row.ttlSeconds * 1000 - performance.now())
}

function schedule(orchestrator: Orchestrator, sandbox: Sandbox, ms: number): void {
  sandbox.idleTimer = setTimeout(() => {
    if (ms > longestTimerMs) watchIdle(orchestrator, sandbox)
    else void pauseIdle(orchestrator, sandbox).catch(() => schedule(orchestrator, sandbox, retryMs))
  }, Math.min(Math.max(ms, 0), longestTimerMs))
  sandbox.idleTimer.unref()
}

async function pauseIdle(orchestrator: Orchestrator, sandbox: Sandbox): Promise<void> {
  await sandbox.checkpoint
  using pass = sandbox.gate.tryAlone()
  const { live } = sandbox
  if (!live || live.paused) return
  if (!pass || sandbox.uses > 0) return watchIdle(orchestrator, sandbox)
  await pause(orchestrator, sandbox, live)
}
