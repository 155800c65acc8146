import type { Call, Caller } from '../contract/call.ts'
import { PyroError } from '../contract/errors.ts'
import type { Paths } from '../host/paths.ts'

/** The engine in this process: the owner of its state directory until disposed of, which cuts what still runs and leaves its machines to themselves. */
export async function embeddedCaller(paths: Paths, env: NodeJS.ProcessEnv): Promise<Caller & AsyncDisposable> {
  const [{ handlers }, { openOrchestrator }] = await Promise.all([import('../engine/operations.ts'), import('../engine/orchestrator/open.ts')])
  const orchestrator = await openOrchestrator({ paths, env })
  const disposed = new AbortController()
  const running = new Set<Promise<unknown>>()
  return {
    async call(name, input, call = {}) {
      const signal = call.signal ? AbortSignal.any([call.signal, disposed.signal]) : disposed.signal
      try {
        signal.throwIfAborted()
        const handle = await handlers[name]()
        const outcome: Promise<never> = handle(orchestrator, input, { ...call, signal } satisfies Call) as Promise<never>
        running.add(outcome)
        return await outcome.finally(() => running.delete(outcome))
      } catch (thrown) {
        const cause: unknown = signal.aborted ? signal.reason : thrown
        throw signal.aborted && !(cause instanceof PyroError) ? new PyroError('canceled', 'canceled', { cause }) : PyroError.from(cause)
      }
    },
    async [Symbol.asyncDispose]() {
      disposed.abort(new PyroError('canceled', 'the engine was closed'))
      await Promise.allSettled(running)
      await orchestrator[Symbol.asyncDispose]()
    },
  }
}
