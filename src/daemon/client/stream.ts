import { once } from 'node:events'
import type { ClientRequest } from 'node:http'
import type { Call, Started } from '../../contract/call.ts'
import type { Progress, ProgressEvent } from '../../contract/progress.ts'
import { decodeFrames, type Frame, frame } from '../frames.ts'
import { errorFromWire, header, type WireError } from '../wire.ts'
import { begin, type Starting } from './begin.ts'
import { Cut } from './knock.ts'
import type { Carried } from './plain.ts'
import { watch } from './watch.ts'

/** How far a streamed call has come: what is needed to take it up again. */
export interface Reached {
  started?: Started
  /** Bytes of output that the caller has. */
  stdout: number
  stderr: number
  /** The command has all that it was to read. */
  stdinEnded: boolean
  /** Frames received: more of them means that it got on. */
  frames: number
}

type Event = ({ event: 'progress' } & ProgressEvent) | ({ event: 'started' } & Started)

/** One request of the stream route. Rejects with `Cut` when its connection breaks before the result. */
export async function streamCall(starting: Starting, name: string, input: unknown, call: Call, { headers, signal, progress }: Carried, reached: Reached): Promise<unknown> {
  const wanted = call.onOutput ? {} : { [header.output]: 'none' }
  const { request, response } = await begin(starting, { method: 'POST', path: `/stream/${name}`, headers: { ...headers, ...wanted, 'transfer-encoding': 'chunked' }, signal }, progress)
  using watching = watch(starting, request)
  request.write(`${JSON.stringify(input)}\n`)
  const done = new AbortController()
  const fed = feed(request, call.stdin, done.signal).then((all) => (reached.stdinEnded = all))
  fed.catch(() => {}) // the answer says how it went
  try {
    for await (const received of framesOf(await response)) {
      reached.frames += 1
      const result = await take(received, call, { progress, reached })
      if (result) return result.value
    }
    throw new Cut('the answer ended before the result')
  } catch (error) {
    throw watching.error ?? error
  } finally {
    done.abort()
    if (!reached.stdinEnded) request.destroy()
  }
}

async function* framesOf(response: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  try {
    yield* decodeFrames(response)
  } catch (error) {
    throw new Cut((error as Error).message, { cause: error })
  }
}

/** Passes a frame on; gives the result when it was the last. */
async function take({ type, payload }: Frame, call: Call, { progress, reached }: { progress: Progress | undefined; reached: Reached }): Promise<{ value: unknown } | undefined> {
  if (type === frame.stdout || type === frame.stderr) {
    const stream = type === frame.stdout ? 'stdout' : 'stderr'
    await call.onOutput?.(stream, payload)
    reached[stream] += payload.length
  } else if (type === frame.event) {
    const { event, ...told } = JSON.parse(payload.toString()) as Event
    if (event === 'progress') progress?.(told as ProgressEvent)
    else if (!reached.started) {
      reached.started = told as Started
      call.onStarted?.(reached.started)
    }
  } else if (type === frame.result) return { value: JSON.parse(payload.toString()) }
  else if (type === frame.error) throw errorFromWire(JSON.parse(payload.toString()) as WireError)
  return undefined
}

/** Passes on what the command is to read, no faster than it goes. False when it was not all wanted. */
async function feed(request: ClientRequest, stdin: AsyncIterable<Uint8Array> | undefined, done: AbortSignal): Promise<boolean> {
  if (stdin) {
    const iterator = stdin[Symbol.asyncIterator]()
    const enough = once(done, 'abort').then(() => undefined)
    for (;;) {
      const next = await Promise.race([iterator.next(), enough])
      if (!next) {
        void iterator.return?.()
        return false
      }
      if (next.done) break
      if (!request.write(next.value)) await once(request, 'drain', { signal: done })
    }
  }
  request.end()
  return true
}
