import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Call } from '../../contract/call.ts'
import { PyroError } from '../../contract/errors.ts'
import { encodeFrame, encodeJsonFrame, frame } from '../frames.ts'
import { errorToWire, header, longestInput } from '../wire.ts'
import type { RunningCall } from './calls.ts'

/** Answers a request of the stream route by frames. */
export async function answerByFrames(request: IncomingMessage, response: ServerResponse, running: RunningCall, carryOut: (input: unknown, call: Call) => Promise<unknown>): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/octet-stream' })
  response.flushHeaders()
  const { signal } = running
  const chunks = request[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>
  try {
    const { input, rest } = await inputOf(chunks)
    const result = await carryOut(input, {
      signal,
      progress: (event) => void (response.writableNeedDrain || response.write(encodeJsonFrame(frame.event, { event: 'progress', ...event }))),
      onStarted(started) {
        running.mayBeCut()
        response.write(encodeJsonFrame(frame.event, { event: 'started', ...started }))
      },
      onOutput:
        request.headers[header.output] === 'none'
          ? undefined
          : async (stream, data) => {
              if (!response.write(encodeFrame(frame[stream], data))) await once(response, 'drain', { signal })
            },
      stdin: bytesOf(rest, chunks),
    })
    response.end(encodeJsonFrame(frame.result, result))
  } catch (thrown) {
    const error = PyroError.from(signal.aborted ? signal.reason : thrown)
    running.failed(error)
    response.end(encodeJsonFrame(frame.error, errorToWire(error)))
  }
  request.resume() // what nobody reads any more must not hold the connection
  if (!response.closed) await once(response, 'close')
}

/** The first line, as JSON, and what came with it. */
async function inputOf(chunks: AsyncIterator<Buffer, undefined>): Promise<{ input: unknown; rest: Buffer }> {
  const parts: Buffer[] = []
  let bytes = 0
  for (;;) {
    const { value, done } = await chunks.next()
    if (done) throw new PyroError('invalid_argument', 'the request has no line of input')
    const end = value.indexOf(0x0a)
    const part = end < 0 ? value : value.subarray(0, end)
    parts.push(part)
    bytes += part.length
    if (bytes > longestInput) throw new PyroError('invalid_argument', `the input has more than ${longestInput} bytes`)
    if (end >= 0) return { input: parsed(Buffer.concat(parts)), rest: value.subarray(end + 1) }
  }
}

function parsed(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString())
  } catch (cause) {
    throw new PyroError('invalid_argument', 'the input is not JSON', { cause })
  }
}

async function* bytesOf(first: Buffer, chunks: AsyncIterator<Buffer, undefined>): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value
}
