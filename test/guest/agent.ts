import { once } from 'node:events'
import { createServer as createHttp2Server } from 'node:http2'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import type { ServiceImpl } from '@connectrpc/connect'
import { connectNodeAdapter } from '@connectrpc/connect-node'
import { Agent } from '../../src/guest/gen/pyro/agent/v1/agent_pb.ts'
import { encodeFrame, frameLength } from '../../src/guest/link/handshake.ts'
import { temporaryDirectory } from '../engine/temporary.ts'

/** Two ends of one byte channel. */
export async function channel(): Promise<{ host: Socket; guest: Socket }> {
  const path = join(await temporaryDirectory(), 'socket')
  const server = createServer().listen(path)
  await once(server, 'listening')
  const connected = once(server, 'connection') as Promise<[Socket]>
  const host = connect(path)
  const [guest] = await connected
  server.close()
  for (const socket of [host, guest]) socket.on('error', () => {})
  return { host, guest }
}

/** The nonce of the first hello, once it is there whole. */
export function nonceOf(received: Buffer): Buffer | undefined {
  const at = received.indexOf(encodeFrame('H', Buffer.alloc(0)))
  return at >= 0 && received.length >= at + frameLength ? received.subarray(at + frameLength - 16, at + frameLength) : undefined
}

/** An agent in this process that does as the test says. Resolves to the host's end of its channel. */
export async function fakeAgent(calls: Partial<ServiceImpl<typeof Agent>>): Promise<Socket> {
  const { host, guest } = await channel()
  const http2 = createHttp2Server(connectNodeAdapter({ routes: (router) => void router.service(Agent, calls) }))
  let received = Buffer.alloc(0)
  let echoed: Buffer | undefined
  const listen = (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    const nonce = nonceOf(received)
    if (!nonce) return
    if (!echoed) guest.write(encodeFrame('E', (echoed = Buffer.from(nonce))))
    const start = encodeFrame('S', echoed)
    const at = received.indexOf(start)
    if (at < 0) return
    guest.off('data', listen)
    guest.pause()
    guest.unshift(received.subarray(at + start.length))
    http2.emit('connection', guest)
  }
  guest.on('data', listen)
  return host
}
