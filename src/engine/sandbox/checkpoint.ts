import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import type { Live, Sandbox } from './sandbox.ts'
import { flushTimeoutMs } from './limits.ts'

/** So many states of the disk can be gone back to. */
const keptCheckpoints = 20

/**
 * Flushes the disk and keeps its state, if anything changed, after the answer
 * has left. What would change something next waits for it. One at a time: those
 * asked for meanwhile become one more.
 */
export function checkpointSoon(orchestrator: Orchestrator, sandbox: Sandbox, live: Live): void {
  if (live.vmm === 'host') return
  if (sandbox.checkpoint) {
    sandbox.checkpointAgain = true
    return
  }
  sandbox.checkpoint = take(orchestrator, sandbox, live)
    // A machine that dies, stops or is short of space says so by itself; its last checkpoint is what it was.
    .catch(() => {})
    .finally(() => {
      const again = sandbox.checkpointAgain && sandbox.live === live
      sandbox.checkpoint = undefined
      sandbox.checkpointAgain = false
      if (again) checkpointSoon(orchestrator, sandbox, live)
    })
}

async function take({ store }: Orchestrator, sandbox: Sandbox, live: Live): Promise<void> {
  const row = store.sandbox(sandbox.id)
  if (!row) return
  const { agent } = await live.link.guest()
  const { taken, last } = await agent.checkpoint({ sequence: BigInt(row.checkpoint + 1), keep: keptCheckpoints }, { timeoutMs: flushTimeoutMs })
  if (taken) store.updateSandbox(sandbox.id, { checkpoint: Number(last) })
}
