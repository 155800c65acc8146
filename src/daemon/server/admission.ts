import type { IncomingMessage } from 'node:http'
import { PyroError } from '../../contract/errors.ts'
import { isNewerBuild } from '../../host/build.ts'
import { errorToWire, header, longestInput, protocol } from '../wire.ts'
import { version } from '../../version.ts'

/** What a request asks for. */
export interface Route {
  kind: 'rpc' | 'stream' | 'status' | 'leave'
  /** The operation, of the first two. */
  name: string
}

/** An answer that says that nothing has happened. */
export interface Refused {
  status: number
  body: object
}

const control: Record<string, 'status' | 'leave'> = { 'GET /control/status': 'status', 'POST /control/leave': 'leave' }

/** Decides by a request's head alone. */
export function admit({ method, url = '', headers }: IncomingMessage, daemon: { build: string; leaving: boolean }): Route | Refused {
  const kind = control[`${method} ${url}`]
  if (kind === 'leave' && headers[header.ifBuild] !== undefined && headers[header.ifBuild] !== daemon.build) return { status: 412, body: { build: daemon.build } }
  if (kind) return { kind, name: '' }
  if (daemon.leaving) return { status: 503, body: {} }
  const spoken = headers[header.protocol]
  const build = headers[header.build]
  if (typeof spoken !== 'string' || typeof build !== 'string') return refused(400, 'this is the socket of the pyro daemon; use pyro')
  if (isNewerBuild(build, daemon.build)) return { status: 409, body: { build: daemon.build } }
  if (spoken !== String(protocol)) {
    return refused(426, `the daemon is of a newer build, pyro ${version}, that does not speak the protocol of this one`, 'use the newer pyro, or stop the daemon with `pyro daemon stop`')
  }
  const [, route, name = ''] = /^\/(rpc|stream)\/(\w+)$/.exec(url) ?? []
  if (!route || method !== 'POST') return refused(404, `the daemon has no ${method} ${url}`)
  if (route === 'rpc') {
    // Nothing else is parsed: not the forms and files that oRPC knows as well.
    if (headers['content-type'] !== 'application/json' || headers['content-disposition'] !== undefined) return refused(415, 'the input is not application/json')
    const length = Number(headers['content-length'] ?? Number.NaN)
    if (Number.isNaN(length)) return refused(411, 'the length of the input is not told')
    if (length > longestInput) return refused(413, `the input has ${length} bytes; ${longestInput} are the limit`)
  }
  return { kind: route as 'rpc' | 'stream', name }
}

const codes: Record<number, 'invalid_argument' | 'daemon_failed'> = { 411: 'invalid_argument', 413: 'invalid_argument', 415: 'invalid_argument' }

function refused(status: number, message: string, hint?: string): Refused {
  return { status, body: { error: errorToWire(new PyroError(codes[status] ?? 'daemon_failed', message, hint === undefined ? {} : { hint })) } }
}
