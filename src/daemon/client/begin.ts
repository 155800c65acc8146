import { setTimeout as delay } from 'node:timers/promises'
import type { Progress } from '../../contract/progress.ts'
import { checkSocketDirectory } from '../socket.ts'
import { diagnose, unreachable } from './diagnose.ts'
import { type Begun, canceled, knock, type Request, type Target } from './knock.ts'
import type { DaemonProgram } from './start.ts'

/** Starts of a daemon, hand-overs and waits for one that leaves included. */
const patienceMs = 120_000
/** So often in a row a connection may break before anything was said: a daemon breaks a few as it leaves. */
const mostBroken = 40
const againMs = 25

export interface Starting extends Target {
  env: NodeJS.ProcessEnv
  /** Words that start a daemon, in the place of the usual ones. */
  program?: DaemonProgram | undefined
}

/** Brings a call to a daemon that takes it on, starting one when there is none. Nothing has happened when it rejects. */
export async function begin(starting: Starting, request: Request, progress?: Progress): Promise<Begun> {
  const { paths, env, program } = starting
  const { signal } = request
  const deadline = performance.now() + patienceMs
  const start = async (replaces?: string) => (await import('./start.ts')).ensureStarted(starting, { env, program, signal, replaces })
  let broken = 0
  for (;;) {
    if (signal?.aborted) throw canceled(signal.reason)
    if (performance.now() > deadline) throw await diagnose(paths, 'it takes no call on')
    if (!checkSocketDirectory(paths)) await start()
    const answer = await knock(starting, request)
    if ('request' in answer) return answer
    if (answer.refused === 'error') throw answer.error
    broken = answer.refused === 'gone' ? broken + 1 : 0
    if (broken > mostBroken) throw unreachable(paths, 'it breaks every connection')
    if (answer.refused === 'absent') await start()
    else if (answer.refused === 'older') {
      progress?.({ phase: 'daemon', detail: 'the daemon of an older build hands over' })
      await start(answer.build)
    } else await delay(againMs)
  }
}
