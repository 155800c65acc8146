import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Call } from '../../contract/call.ts'
import { PyroError } from '../../contract/errors.ts'
import type { Orchestrator } from '../../engine/orchestrator/orchestrator.ts'
import { version } from '../../version.ts'
import { type DaemonStatus, errorToWire, header, protocol, type WireError } from '../wire.ts'
import { admit, type Route } from './admission.ts'
import { asSeenBy, type Backend } from './backend.ts'
import type { Calls } from './calls.ts'
import { framesOf, type Log } from './log.ts'
import type { AnswerRpc, RpcContext } from './rpc.ts'

/** What is loaded once the daemon listens. */
export interface Loaded {
  backend: Backend
  answerRpc: AnswerRpc
}

/** What requests are answered from. */
export interface Served {
  build: string
  /** Seconds since the epoch. */
  startedAt: number
  calls: Calls
  log: Log
  loaded: Promise<Loaded>
  opened: Promise<Orchestrator>
  isLeaving(): boolean
  leave(why: string, options: { machines: boolean }): Promise<void>
}

type Answer = (served: Served, request: IncomingMessage, response: ServerResponse, route: Route) => Promise<void>

const answers: Record<Route['kind'], Answer> = { status: answerStatus, leave: answerLeave, rpc: answerRpc, stream: answerStream }

/** Answers one request. `waits`: its sender holds the body back until it is told that the call is taken on. */
export function answer(served: Served, request: IncomingMessage, response: ServerResponse, waits: boolean): void {
  response.setHeader(header.protocol, protocol)
  const route = admit(request, { build: served.build, leaving: served.isLeaving() })
  if ('status' in route) {
    response.writeHead(route.status, { 'content-type': 'application/json', connection: 'close' }).end(JSON.stringify(route.body))
    return
  }
  if (waits) response.writeContinue()
  answers[route.kind](served, request, response, route).catch((error: unknown) => {
    served.log('fault', { at: framesOf(error) })
    response.destroy()
  })
}

async function answerStream(served: Served, request: IncomingMessage, response: ServerResponse, { name }: Route): Promise<void> {
  using running = served.calls.begin(name, response)
  const { answerByFrames } = await import('./stream.ts')
  await answerByFrames(request, response, running, (input, call) => carryOut(served, request, name, input, call))
}

async function answerRpc(served: Served, request: IncomingMessage, response: ServerResponse, { name }: Route): Promise<void> {
  using running = served.calls.begin(name, response)
  const loaded = await served.loaded
  const context: RpcContext = {
    async carryOut(input) {
      try {
        return await carryOut(served, request, name, input, { signal: running.signal })
      } catch (thrown) {
        const error = PyroError.from(running.signal.aborted ? running.signal.reason : thrown)
        running.failed(error)
        throw error
      }
    },
  }
  if (await loaded.answerRpc(request, response, context)) return
  const { code, message, ...data } = errorToWire(unknownOperation(name))
  response.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify({ json: { defined: false, code, status: 404, message, data } }))
}

async function carryOut({ loaded, opened }: Served, request: IncomingMessage, name: string, input: unknown, call: Call): Promise<unknown> {
  const orchestrator = await opened
  const { backend } = await loaded
  const load = Object.hasOwn(backend.handlers, name) ? backend.handlers[name as keyof Backend['handlers']] : undefined
  if (!load) throw unknownOperation(name)
  const handler = await load()
  call.signal?.throwIfAborted()
  return handler(asSeenBy(request.headers, orchestrator), input, call)
}

function unknownOperation(name: string): PyroError {
  return new PyroError('daemon_failed', `the daemon does not know the operation ${name}`, { hint: 'stop it with `pyro daemon stop`: the next call starts another' })
}

async function answerStatus({ build, startedAt, calls, opened }: Served, _: IncomingMessage, response: ServerResponse): Promise<void> {
  let status: DaemonStatus | { error: WireError }
  try {
    const orchestrator = await opened
    const { workspaces, machines } = orchestrator.status()
    status = { pid: process.pid, version, build, protocol, started_at: startedAt, memory_bytes: process.memoryUsage.rss(), calls: calls.count, workspaces, machines, recovery: recoveryToWire(orchestrator) }
  } catch (thrown) {
    status = { error: errorToWire(PyroError.from(thrown)) }
  }
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(status))
}

function recoveryToWire({ recovery }: Orchestrator): DaemonStatus['recovery'] {
  if (!recovery) return null
  const { recordedAt, reason, backup, found, ignored } = recovery
  return { recorded_at: recordedAt, reason, backup, found, ignored }
}

/** The answer has no end: it is cut when the process ends, so that its reader knows that it has. */
async function answerLeave({ leave }: Served, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  response.writeHead(200, { 'content-type': 'application/json' })
  response.flushHeaders()
  try {
    await leave('it was asked to', { machines: (JSON.parse(text || '{}') as { machines?: boolean }).machines === true })
  } catch (thrown) {
    response.end(JSON.stringify({ error: errorToWire(PyroError.from(thrown)) }))
  }
}
