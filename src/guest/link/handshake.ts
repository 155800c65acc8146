import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { PyroError } from '../../contract/errors.ts'

/**
 * A frame is nine bytes 0xff, "pyro/1", a kind and a nonce. Nine times 0xff can
 * never be the header of an HTTP/2 frame that we allow, so the agent tells a new
 * handshake from the session before it.
 */
const magic = Buffer.concat([Buffer.alloc(9, 0xff), Buffer.from('pyro/1')])
const nonceLength = 16
export const frameLength = magic.length + 1 + nonceLength

/** More than one HTTP/2 frame of the largest size: gets an agent past the frame that a cut session left half read. */
const filler = Buffer.alloc(17 * 1024, 0xff)
const helloIntervalMs = 5
const fillerEvery = 20

export type FrameKind = 'H' | 'E' | 'S'

export function encodeFrame(kind: FrameKind, nonce: Uint8Array): Buffer {
  return Buffer.concat([magic, Buffer.from(kind), nonce])
}

interface HandshakeOptions {
  timeoutMs: number
  signal?: AbortSignal | undefined
}

/**
 * Agrees with the agent on where a session begins. A channel can hold bytes of
 * an earlier session in both directions, so the host repeats a hello until the
 * agent echoes this handshake's nonce, and discards all else. Resolves once the
 * agent's first HTTP/2 byte is there, put back for the session to read.
 */
export function handshake(socket: Socket, { timeoutMs, signal }: HandshakeOptions): Promise<void> {
  const nonce = randomBytes(nonceLength)
  const hello = encodeFrame('H', nonce)
  const echo = encodeFrame('E', nonce)
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    let echoed = false
    let hellos = 0

    const sendHello = () => {
      if (socket.writableNeedDrain) return // nobody reads yet: one hello is waiting already
      if (hellos > 0 && hellos % fillerEvery === 0) socket.write(filler)
      socket.write(hello)
      hellos += 1
    }
    const onData = (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      if (!echoed) {
        const at = received.indexOf(echo)
        if (at < 0) {
          received = received.subarray(Math.max(0, received.length - echo.length + 1))
          return
        }
        received = received.subarray(at + echo.length)
        echoed = true
        clearInterval(repeat)
        socket.write(encodeFrame('S', nonce))
      }
      while (received[0] === 0xff && received.length >= frameLength) received = received.subarray(frameLength) // echoes of further hellos
      if (received.length > 0 && received[0] !== 0xff) finish()
    }
    const finish = (error?: unknown) => {
      clearInterval(repeat)
      clearTimeout(deadline)
      socket.off('data', onData).off('close', onClose).off('error', onError)
      signal?.removeEventListener('abort', onAbort)
      if (error !== undefined) return reject(error)
      socket.pause()
      socket.unshift(received)
      resolve()
    }
    const onClose = () => finish(new PyroError('guest_unresponsive', 'the guest hung up before it answered'))
    const onError = (cause: Error) => finish(new PyroError('guest_unresponsive', 'the channel to the guest broke before it answered', { cause }))
    const onAbort = () => finish(signal?.reason)

    const repeat = setInterval(sendHello, helloIntervalMs)
    const deadline = setTimeout(
      () => finish(new PyroError('guest_unresponsive', `the agent in the guest did not answer within ${Math.round(timeoutMs / 1000)} s: transport not ready, nothing was run`)),
      timeoutMs,
    )
    if (signal?.aborted) return onAbort()
    signal?.addEventListener('abort', onAbort)
    socket.on('data', onData).on('close', onClose).on('error', onError)
    sendHello()
  })
}
