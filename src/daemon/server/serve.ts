import { PyroError } from '../../contract/errors.ts'
import type { Engine } from '../../engine/engine.ts'
import type { Orchestrator } from '../../engine/orchestrator/orchestrator.ts'
import { version } from '../../version.ts'
import { answer, type Loaded, type Served } from './answer.ts'
import type { Backend } from './backend.ts'
import { Calls } from './calls.ts'
import { framesOf, type Log } from './log.ts'
import { listen } from './socket.ts'

/** An import would evaluate all that the module exports, fetch and WebSocket among it: 30 ms. */
const http = process.getBuiltinModule('node:http')

/** How long calls in progress may go on when the daemon was asked to leave. */
const graceMs = 10_000
/** How long machines may take to be let go of. */
const releaseMs = 10_000
/** Connections that clients keep for their next call. */
const keepAliveMs = 60_000
/** How long a daemon stays in any case for the call that it was started for. */
const firstCallMs = 5000
/** When what was not needed yet is loaded: behind the first calls. */
const settledMs = 500

export interface ServeOptions extends Engine {
  build: string
  /** Leaves after so long without anything to stay for. */
  idleMs: number
  log: Log
  backend: () => Promise<Backend>
}

export interface Daemon {
  /** Ends the machines if that is asked for, lets go of all else, and resolves when nothing is left but to end. */
  leave(why: string, options?: { machines?: boolean }): Promise<void>
  /** Resolves when it has left; rejects when it left because the state directory could not be opened. */
  readonly left: Promise<void>
}

/** Listens at once; what carries the calls out is loaded and opened while the first of them wait. */
export async function serve({ paths, env, build, idleMs, log, backend: load }: ServeOptions): Promise<Daemon> {
  const server = http.createServer({ keepAliveTimeout: keepAliveMs, requestTimeout: 0 })
  const calls = new Calls(log)
  const left = Promise.withResolvers<void>()
  left.promise.catch(() => {}) // for those who do not wait for it
  let leaving: Promise<void> | undefined
  let isLeaving = false
  let timer: NodeJS.Timeout | undefined

  const held = await listen(server, paths)
  log('listening', { build, version })
  const loaded = Promise.all([load(), import('./rpc.ts')]).then(([backend, { rpcAnswerer }]): Loaded => ({ backend, answerRpc: rpcAnswerer(Object.keys(backend.handlers)) }))
  const opened = loaded.then(({ backend }) => backend.open({ paths, env }))
  const served: Served = { build, startedAt: Date.now() / 1000, calls, log, loaded, opened, isLeaving: () => isLeaving, leave }
  server.on('request', (request, response) => answer(served, request, response, false))
  server.on('checkContinue', (request, response) => answer(served, request, response, true))
  held.onLost(() => void leave('its socket is not in its place any more'))
  void lookAfter()
  return { leave, left: left.promise }

  function leave(why: string, { machines = false } = {}, failure?: unknown): Promise<void> {
    leaving ??= leaveOnce(why, machines, failure).catch((error: unknown) => {
      leaving = undefined
      isLeaving = false
      throw error
    })
    return leaving
  }

  async function leaveOnce(why: string, machines: boolean, failure: unknown): Promise<void> {
    isLeaving = true
    log('leaving', { why: why.replaceAll(' ', '-') })
    if (machines) await (await opened).stopMachines()
    clearTimeout(timer)
    server.close()
    await calls.end(graceMs)
    if (failure === undefined) await Promise.race([letGo(), after(releaseMs)])
    held[Symbol.dispose]()
    log('left')
    if (failure === undefined) left.resolve()
    else left.reject(failure)
  }

  async function letGo(): Promise<void> {
    try {
      await (await opened)[Symbol.asyncDispose]()
    } catch (error) {
      log('could not let go', { at: framesOf(error) })
    }
  }

  async function lookAfter(): Promise<void> {
    try {
      const orchestrator = await opened
      await Promise.race([calls.first, after(firstCallMs)])
      stayWhileNeeded(orchestrator)
      setTimeout(() => void loadAll(), settledMs).unref()
    } catch (thrown) {
      const { code } = PyroError.from(thrown)
      log('could not open', { code, at: code === 'internal' ? framesOf(thrown) : undefined })
      await Promise.race([calls.first, after(firstCallMs)])
      await leave('it could not open the state directory', {}, thrown)
    }
  }

  /** Looks whether there is anything to stay for, and again when there may be nothing. */
  function stayWhileNeeded(orchestrator: Orchestrator): void {
    if (!held.isThere()) return void leave('its socket is not in its place any more')
    const since = [calls.idleSince(), orchestrator.idleSince()].map((at) => at ?? Infinity)
    const idle = performance.now() - Math.max(...since)
    if (idle >= idleMs) return void leave('there is nothing to stay for')
    timer = setTimeout(() => stayWhileNeeded(orchestrator), Math.max(idleMs - Math.max(idle, 0), 1))
  }

  /** A new bundle in the place of ours takes its files away: what a later call needs is loaded by then. */
  async function loadAll(): Promise<void> {
    const { backend } = await loaded
    for (const load of Object.values(backend.handlers)) await load().catch(() => {})
  }
}

function after(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms))
}
