import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { encodeFrame, handshake } from '../../src/guest/link/handshake.ts'
import { connectGuest } from '../../src/guest/client.ts'
import type { PyroError } from '../../src/contract/errors.ts'
import { verifies } from '../behaviours/promises.ts'
import { channel, nonceOf } from './agent.ts'

const firstBytes = Buffer.from('PRI first bytes of the session')

/** Answers hellos as an agent does, once `before` was sent. */
function agent(guest: Socket, { before = Buffer.alloc(0), echoes = 1, pieces = Infinity }: { before?: Buffer; echoes?: number; pieces?: number } = {}): void {
  let received = Buffer.alloc(0)
  let answered = false
  const send = (data: Buffer) => {
    for (let at = 0; at < data.length; at += pieces) guest.write(data.subarray(at, at + pieces))
  }
  guest.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    const nonce = nonceOf(received)
    if (answered || !nonce) return
    answered = true
    send(Buffer.concat([before, ...Array.from({ length: echoes }, () => encodeFrame('E', nonce)), firstBytes]))
  })
}

/** What a session would read first. */
async function greet(host: Socket): Promise<Buffer> {
  await handshake(host, { timeoutMs: 10_000 })
  const chunks: Buffer[] = []
  for await (const chunk of host as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    if (Buffer.concat(chunks).length >= firstBytes.length) break
  }
  return Buffer.concat(chunks)
}

for (const [title, options] of [
  ['an agent that answers at once', {}],
  ['the rest of an earlier session', { before: randomBytes(200_000) }],
  ['echoes of an earlier handshake', { before: Buffer.concat([encodeFrame('E', randomBytes(16)), encodeFrame('E', randomBytes(16))]) }],
  ['half an echo', { before: encodeFrame('E', randomBytes(16)).subarray(0, 20) }],
  ['nothing but 0xff', { before: Buffer.alloc(100_000, 0xff) }],
  ['many echoes', { echoes: 50 }],
  ['bytes that come one by one', { before: randomBytes(50), echoes: 3, pieces: 1 }],
] as const) {
  verifies('link.fresh-session', `a session begins behind ${title}`, async () => {
    const { host, guest } = await channel()
    agent(guest, options)
    assert.deepEqual(await greet(host), firstBytes)
    guest.destroy()
  })
}

verifies(['link.bounded', 'link.fresh-session'], 'a guest that only sends garbage is given up on, in bounded memory', async () => {
  const { host, guest } = await channel()
  const garbage = randomBytes(1 << 20)
  const flood = () => {
    while (guest.writable && guest.write(garbage));
  }
  guest.on('drain', flood)
  flood()
  guest.resume()
  const before = process.memoryUsage.rss()
  await assert.rejects(handshake(host, { timeoutMs: 1000 }), (error: PyroError) => error.code === 'guest_unresponsive' && /within 1 s: transport not ready, nothing was run/.test(error.message))
  assert.ok(process.memoryUsage.rss() - before < 128 << 20)
  host.destroy()
  guest.destroy()
})

verifies('link.bounded', 'a guest that says nothing is given up on, and its socket is closed', async () => {
  const { host, guest } = await channel()
  guest.resume()
  await assert.rejects(connectGuest(host, { timeoutMs: 200 }), (error: PyroError) => error.code === 'guest_unresponsive')
  assert.ok(host.destroyed)
  guest.destroy()
})

verifies('link.bounded', 'a guest that hangs up is an error at once', async () => {
  const { host, guest } = await channel()
  guest.once('data', () => guest.destroy())
  await assert.rejects(connectGuest(host, { timeoutMs: 60_000 }), (error: PyroError) => error.code === 'guest_unresponsive')
})

verifies('link.bounded', 'a caller who gives up is not held', async () => {
  const { host, guest } = await channel()
  guest.resume()
  const patience = new AbortController()
  const reason = new Error('enough')
  const connecting = connectGuest(host, { timeoutMs: 60_000, signal: patience.signal })
  patience.abort(reason)
  await assert.rejects(connecting, reason)
  guest.destroy()
})

verifies('link.bounded', 'a guest that answers in no HTTP/2 fails the call and nothing else', async () => {
  for (let round = 0; round < 20; round++) {
    const { host, guest } = await channel()
    agent(guest, { echoes: 1 })
    const connected = await connectGuest(host, { timeoutMs: 10_000 }).catch((error: Error) => error)
    if (connected instanceof Error) continue
    guest.write(Buffer.concat([Buffer.from([0]), randomBytes(1000)]))
    await assert.rejects(connected.agent.ping({}, { timeoutMs: 10_000 }))
    connected[Symbol.dispose]()
    guest.destroy()
  }
})
