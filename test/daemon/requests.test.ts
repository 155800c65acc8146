import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { createORPCClient } from '@orpc/client'
import { StandardRPCLink } from '@orpc/client/standard'
import { decodeFrames, encodeFrame, frame } from '../../src/daemon/frames.ts'
import { verifies } from '../behaviours/promises.ts'
import { daemonHome, request } from './daemon-home.ts'

const json = { 'content-type': 'application/json' }
const home = daemonHome()
const { count: pid } = await home.client().call('workspace_list', {})
const made = () => home.journal().filter((line) => line.startsWith('begun')).length

const malformed: Record<string, { path: string; method?: string; headers?: Record<string, string>; body?: string; status: number }> = {
  'an unknown operation': { path: '/rpc/workspace_explode', headers: json, body: '{}', status: 404 },
  'an inherited name': { path: '/rpc/constructor', headers: json, body: '{}', status: 404 },
  'an unknown path': { path: '/etc/passwd', status: 404 },
  'a path with dots': { path: '/rpc/../../control', status: 404 },
  'a GET': { path: '/rpc/workspace_list', method: 'GET', status: 404 },
  'no JSON': { path: '/rpc/workspace_list', headers: json, body: 'workspace_list please', status: 400 },
  'a form': { path: '/rpc/workspace_list', headers: { 'content-type': 'multipart/form-data; boundary=x' }, body: '--x--', status: 415 },
  'a file': { path: '/rpc/workspace_list', headers: { ...json, 'content-disposition': 'attachment; filename=x' }, body: 'x', status: 415 },
  'no length': { path: '/rpc/workspace_list', headers: { ...json, 'transfer-encoding': 'chunked' }, body: '{}', status: 411 },
  'too great a length': { path: '/rpc/workspace_list', headers: { ...json, 'content-length': String(1024 ** 4) }, status: 413 },
  'no protocol': { path: '/rpc/workspace_list', headers: { ...json, 'x-pyro-protocol': '' }, body: '{}', status: 426 },
  'a protocol that is none': { path: '/rpc/workspace_list', headers: { ...json, 'x-pyro-protocol': 'one' }, body: '{}', status: 426 },
}

for (const [what, { status, path, ...sent }] of Object.entries(malformed)) {
  verifies('daemon.bad-requests', `${what} is refused with ${status}, and nothing is done`, async () => {
    const before = made()
    assert.equal((await request(home, path, sent)).status, status)
    assert.equal(made(), before)
  })
}

for (const [what, body] of Object.entries({ 'no input': '', 'no line': '{}', 'no JSON': 'please\n', 'too long a line': 'x'.repeat(33 * 1024 ** 2) })) {
  verifies('daemon.bad-requests', `a stream with ${what} is answered by an error`, async () => {
    const before = made()
    const answer = await request(home, '/stream/workspace_exec', { body })
    assert.equal(answer.status, 200)
    assert.match(answer.body, /"code":"invalid_argument"/)
    assert.equal(made(), before)
  })
}

verifies('daemon.bad-requests', 'bytes that are no HTTP, a head without an end and a head that is too long end their own connection only', async () => {
  for (const bytes of ['\0\x01\x02\n\n', 'POST /rpc/x HTTP/1.1\r\n'.padEnd(100_000, 'x: y\r\n'), Buffer.alloc(1024, 0xff)]) {
    const socket = connect(home.engine.paths.daemonSocket)
    await new Promise<void>((closed) => {
      socket.on('error', () => {}).on('close', () => closed())
      socket.resume().write(bytes)
    })
  }
  assert.equal((await home.client().call('workspace_list', {})).count, pid)
})

verifies('daemon.bad-requests', 'an input of many megabytes is taken', async () => {
  const long = 'ü'.repeat(10 * 1024 ** 2)
  const { input } = (await home.client().call('workspace_status', { workspace_id: long })) as unknown as { input: { workspace_id: string } }
  assert.equal(input.workspace_id, long)
})

verifies('daemon.protocol', "oRPC's own client calls an operation and gets its result and its error", async () => {
  const link = new StandardRPCLink<object>(
    {
      async call({ url, method, body, headers }) {
        const { pathname } = new URL(String(url))
        const answer = await request(home, pathname, { method, headers: { ...headers, ...json }, body: JSON.stringify(body) })
        return { status: answer.status, headers: {}, body: async () => JSON.parse(answer.body) as unknown }
      },
    },
    { url: 'http://pyro/rpc' },
  )
  const client = createORPCClient<Record<string, (input: object) => Promise<unknown>>>(link)
  assert.deepEqual(await client['workspace_list']?.({}), { count: pid, workspaces: [] })
  await assert.rejects(client['workspace_update']?.({ workspace_id: 'w' }) as Promise<unknown>, { code: 'not_found', message: 'no workspace w', data: { hint: 'look', details: { a: 1 } } })
})

verifies('daemon.protocol', 'frames are the same however the bytes are cut', async () => {
  const sent = [encodeFrame(frame.stdout, Buffer.from('one')), encodeFrame(frame.stderr, Buffer.alloc(0)), encodeFrame(frame.result, Buffer.alloc(70_000, 'x'))]
  const bytes = Buffer.concat(sent)
  for (const size of [1, 2, 5, 7, 4096, bytes.length]) {
    async function* cut() {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
    }
    const received: [number, number][] = []
    for await (const { type, payload } of decodeFrames(cut())) received.push([type, payload.length])
    assert.deepEqual(received, [[1, 3], [2, 0], [4, 70_000]])
  }
})
