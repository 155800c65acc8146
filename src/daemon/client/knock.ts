import type { Agent, ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { lstatSync } from 'node:fs'
import { PyroError } from '../../contract/errors.ts'
import type { Paths } from '../../host/paths.ts'
import { errorFromWire, header, protocol, type WireError } from '../wire.ts'
import { daemonPid, diagnose, isStopped, unreachable } from './diagnose.ts'

/** An import would evaluate all that the module exports, fetch and WebSocket among it: 30 ms. */
export const http = process.getBuiltinModule('node:http')

/** How long the daemon may take to take a call on. */
const patienceMs = 10_000
/** When a daemon that has not answered is looked at. */
const suspicionMs = 1000

export interface Request {
  method: 'GET' | 'POST'
  path: string
  headers?: OutgoingHttpHeaders
  signal?: AbortSignal | undefined
}

/** Whom to ask, and as whom. */
export interface Target {
  paths: Paths
  build: string
  /** Keeps connections for later calls. */
  agent?: Agent | undefined
}

/** A call that the daemon has taken on: its input may follow. */
export interface Begun {
  request: ClientRequest
  /** Rejects with `Cut` when the connection breaks first. */
  response: Promise<IncomingMessage>
}

/**
 * What the daemon said to a call of which nothing has happened yet. `absent`: there is none. `gone`: the connection broke. `busy`: too
 * many connections wait. `leaving`: it is about to go. `older`: it should hand over to us.
 */
export type Refusal = { refused: 'absent' | 'gone' | 'busy' | 'leaving' } | { refused: 'older'; build: string } | { refused: 'error'; error: PyroError }

/** The connection broke after the daemon had taken the call on. */
export class Cut extends Error {
  override readonly name = 'Cut'
}

const refusals: Record<string, 'absent' | 'gone' | 'busy'> = { ENOENT: 'absent', ECONNREFUSED: 'absent', ECONNRESET: 'gone', EPIPE: 'gone', HPE_INVALID_EOF_STATE: 'gone', EAGAIN: 'busy' }

/** Asks the daemon to take a call on. Rejects when there is one that does not answer, something else in its place, or the signal aborts. */
export function knock({ paths, build, agent }: Target, { method, path, headers, signal }: Request): Promise<Begun | Refusal> {
  return new Promise((resolve, reject) => {
    const request = http.request({
      socketPath: paths.daemonSocket,
      agent: agent ?? false,
      method,
      path,
      headers: { ...headers, host: 'pyro', expect: '100-continue', [header.protocol]: protocol, [header.build]: build },
    })
    let begun = false
    const abort = () => request.destroy(canceled(signal?.reason))
    const response = new Promise<IncomingMessage>((answered, cut) => {
      request.once('response', (message) => {
        if (begun && isDaemons(message)) answered(message)
        else if (begun) request.destroy(unreachable(paths, otherHttp))
        else resolve(refusalOf(paths, message).finally(() => request.destroy()))
      })
      request.on('error', (error: NodeJS.ErrnoException) => {
        const told = error instanceof PyroError ? error : undefined
        cut(told ?? new Cut(error.message, { cause: error }))
        if (told) reject(told)
        else resolve(broken(paths, error))
      })
    })
    response.catch(() => {}) // whoever has the call looks at it
    const give = (found: string) => void diagnose(paths, found).then((error) => request.destroy(error))
    const suspect = setTimeout(() => void daemonPid(paths).then((pid) => pid !== undefined && !begun && isStopped(pid) && give('')), suspicionMs)
    const giveUp = setTimeout(() => give(`it takes connections and says nothing for ${patienceMs / 1000} s`), patienceMs)
    const settled = () => {
      clearTimeout(suspect)
      clearTimeout(giveUp)
    }
    request.once('continue', () => {
      begun = true
      settled()
      resolve({ request, response })
    })
    request.once('response', settled)
    request.once('close', () => {
      settled()
      signal?.removeEventListener('abort', abort)
    })
    if (signal?.aborted) abort()
    signal?.addEventListener('abort', abort)
    request.flushHeaders()
  })
}

/** What an abort is to the caller. */
export function canceled(reason: unknown): PyroError {
  return reason instanceof PyroError ? reason : new PyroError('canceled', 'canceled', { cause: reason })
}

function broken(paths: Paths, { code = '', message }: NodeJS.ErrnoException): Refusal {
  if (code === 'ECONNREFUSED' && lstatSync(paths.daemonSocket, { throwIfNoEntry: false })?.isSocket() === false) {
    return { refused: 'error', error: unreachable(paths, 'it is not a socket') }
  }
  const refused = refusals[code]
  if (refused) return { refused }
  if (code.startsWith('HPE_')) return { refused: 'error', error: unreachable(paths, `it does not speak HTTP (${code})`) }
  return { refused: 'error', error: unreachable(paths, message) }
}

const otherHttp = 'it speaks HTTP, but not as the daemon does'

function isDaemons({ headers }: IncomingMessage): boolean {
  return headers[header.protocol] !== undefined
}

async function refusalOf(paths: Paths, response: IncomingMessage): Promise<Refusal> {
  if (!isDaemons(response)) return { refused: 'error', error: unreachable(paths, otherHttp) }
  try {
    const text = await textOf(response)
    if (response.statusCode === 503) return { refused: 'leaving' }
    const body = JSON.parse(text) as { build: string } | { error: WireError }
    return 'error' in body ? { refused: 'error', error: errorFromWire(body.error) } : { refused: 'older', build: body.build }
  } catch {
    return { refused: 'gone' }
  }
}

export async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer)
  } catch (error) {
    throw error instanceof PyroError ? error : new Cut((error as Error).message, { cause: error })
  }
  return Buffer.concat(chunks).toString()
}
