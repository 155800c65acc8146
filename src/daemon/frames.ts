/** What a stream is answered by: `[type: u8][length of the payload: u32, big endian][payload]`. */
export const frame = {
  stdout: 1,
  stderr: 2,
  /** JSON: `{event: 'progress', …}` or `{event: 'started', …}`. */
  event: 3,
  /** JSON; the last frame. */
  result: 4,
  /** JSON; the last frame. */
  error: 5,
} as const

export type FrameType = (typeof frame)[keyof typeof frame]

export interface Frame {
  type: number
  payload: Buffer
}

const headerBytes = 5
/** No frame is longer: what announces more is no frame. */
const longestPayload = 64 * 1024 ** 2

export function encodeFrame(type: FrameType, payload: Uint8Array): Buffer {
  const encoded = Buffer.allocUnsafe(headerBytes + payload.length)
  encoded.writeUInt8(type)
  encoded.writeUInt32BE(payload.length, 1)
  encoded.set(payload, headerBytes)
  return encoded
}

export function encodeJsonFrame(type: FrameType, value: unknown): Buffer {
  return encodeFrame(type, Buffer.from(JSON.stringify(value)))
}

/** The frames in a stream of bytes. Ends where the bytes end, also in the midst of a frame: only a last frame says that all came. */
export async function* decodeFrames(chunks: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let held: Buffer[] = []
  let bytes = 0
  let wanted = headerBytes
  for await (const chunk of chunks) {
    held.push(chunk)
    bytes += chunk.length
    if (bytes < wanted) continue
    let rest = held.length === 1 ? chunk : Buffer.concat(held, bytes)
    for (;;) {
      wanted = headerBytes + (rest.length < headerBytes ? 0 : rest.readUInt32BE(1))
      if (wanted > headerBytes + longestPayload) throw new Error('a frame is too long')
      if (rest.length < headerBytes || rest.length < wanted) break
      yield { type: rest.readUInt8(), payload: rest.subarray(headerBytes, wanted) }
      rest = rest.subarray(wanted)
    }
    held = rest.length > 0 ? [rest] : []
    bytes = rest.length
  }
}
