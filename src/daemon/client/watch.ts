import type { ClientRequest } from 'node:http'
import { PyroError } from '../../contract/errors.ts'
import { knock, type Target } from './knock.ts'

/** How often a daemon that has taken a call on is asked whether it still answers. */
const intervalMs = 10_000

export interface Watch extends Disposable {
  /** What became of the daemon, once its call was given up for that. */
  readonly error: PyroError | undefined
}

/** Looks after the daemon while a call waits for it: gives the call up when the daemon is stopped or hangs. */
export function watch({ paths, build }: Target, request: ClientRequest): Watch {
  let dead: PyroError | undefined
  const look = async () => {
    const answer = await knock({ paths, build }, { method: 'GET', path: '/control/status' })
    if ('request' in answer) answer.request.destroy()
  }
  const timer = setInterval(() => {
    look().catch((error: unknown) => {
      if (!(error instanceof PyroError) || error.code !== 'daemon_unresponsive') return
      dead = error
      request.destroy(error)
    })
  }, intervalMs)
  timer.unref()
  return {
    get error() {
      return dead
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
