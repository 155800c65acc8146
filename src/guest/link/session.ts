import { type ClientHttp2Session, connect } from 'node:http2'
import type { Socket } from 'node:net'

/** The name the guest goes by in HTTP/2 requests; it resolves to nothing. */
export const authority = 'http://guest'

/**
 * What one connection, and one stream of it, may have in flight towards us. The latter is below what the agent
 * keeps of an exec's output, so that a cut stream can always be taken up again.
 */
const connectionWindow = 64 * 1024 * 1024
const streamWindow = 128 * 1024
/** Large frames are fewer turns for a guest that is emulated. */
const maxFrameSize = 256 * 1024

/**
 * Speaks HTTP/2 over a socket that has shaken hands. One stalled upload or
 * hundreds of open streams must not hold up the rest, hence a connection window
 * far above the sum of the streams in use.
 */
export function openSession(socket: Socket): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const session = connect(authority, {
      createConnection: () => socket,
      settings: { initialWindowSize: streamWindow, maxFrameSize, maxConcurrentStreams: 0, enablePush: false },
      maxSessionMemory: 1024,
      peerMaxConcurrentStreams: 1000,
    })
    session.once('error', reject)
    session.once('connect', () => {
      session.off('error', reject)
      session.on('error', () => {}) // every call on it fails by itself
      session.setLocalWindowSize(connectionWindow)
      resolve(session)
    })
  })
}
