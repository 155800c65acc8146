import type { IncomingHttpHeaders } from 'node:http'
import type { OperationName } from '../../contract/operations.ts'
import type { Engine } from '../../engine/engine.ts'
import type { Handler } from '../../engine/handler.ts'
import type { Orchestrator } from '../../engine/orchestrator/orchestrator.ts'
import { callerVariables } from '../wire.ts'

/** What carries the calls out. */
export interface Backend {
  handlers: { [Name in OperationName]: () => Promise<Handler<Name>> }
  open(engine: Engine): Promise<Orchestrator>
}

/** Loaded once the daemon listens. */
export async function engineBackend(): Promise<Backend> {
  const [{ handlers }, { openOrchestrator }] = await Promise.all([import('../../engine/operations.ts'), import('../../engine/orchestrator/open.ts')])
  return { handlers, open: openOrchestrator }
}

/** The orchestrator as a caller sees it: with those of its environment variables that count for a single call. */
export function asSeenBy(headers: IncomingHttpHeaders, orchestrator: Orchestrator): Orchestrator {
  const own = Object.entries(callerVariables).flatMap(([variable, header]) => {
    const value = headers[header]
    return typeof value === 'string' ? [[variable, decodeURIComponent(value)] as const] : []
  })
  return own.length === 0 ? orchestrator : { ...orchestrator, env: { ...orchestrator.env, ...Object.fromEntries(own) } }
}
