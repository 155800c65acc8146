import { PyroError } from '../../contract/errors.ts'
import type { Progress } from '../../contract/progress.ts'
import { errorFromWire } from '../wire.ts'
import { begin, type Starting } from './begin.ts'
import { textOf } from './knock.ts'
import { watch } from './watch.ts'

export interface Carried {
  headers: Record<string, string>
  signal: AbortSignal
  progress?: Progress | undefined
}

/** What oRPC's RPC protocol wraps an error in. */
interface RpcError {
  code: string
  message: string
  data?: { hint?: string; details?: Record<string, unknown> }
}

/**
 * A call by oRPC's RPC protocol, without its client: that needs `FormData`, and with it fetch, which takes Node 30 ms to load. Inputs
 * and outputs of the contract are JSON, of which the protocol says `{"json": value}`.
 */
export async function plainCall(starting: Starting, name: string, input: unknown, { headers, signal, progress }: Carried): Promise<unknown> {
  const body = Buffer.from(JSON.stringify({ json: input }))
  const { request, response } = await begin(
    starting,
    { method: 'POST', path: `/rpc/${name}`, headers: { ...headers, 'content-type': 'application/json', 'content-length': body.length }, signal },
    progress,
  )
  using watching = watch(starting, request)
  try {
    request.end(body)
    const answer = await response
    return outcome(name, answer.statusCode, await textOf(answer))
  } catch (error) {
    throw watching.error ?? error
  }
}

function outcome(name: string, status: number | undefined, text: string): unknown {
  const { json } = JSON.parse(text) as { json: unknown }
  if (status === 200) return json
  const { code, message, data } = json as RpcError
  if (data?.hint === undefined) throw new PyroError('daemon_failed', `the daemon refused ${name}: ${message} (${code})`)
  throw errorFromWire({ code, message, hint: data.hint, details: data.details ?? {} })
}
