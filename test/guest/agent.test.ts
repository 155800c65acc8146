import assert from 'node:assert/strict'
import { Code, ConnectError } from '@connectrpc/connect'
import { attach } from '../../src/engine/machine/attach.ts'
import { exec, type ExecEnd } from '../../src/engine/machine/exec.ts'
import { identityOf, newMachineId } from '../../src/engine/machine/start.ts'
import { connectGuest, type Guest } from '../../src/guest/client.ts'
import type { PyroError } from '../../src/contract/errors.ts'
import { type AttachRequest, OutputStream } from '../../src/guest/gen/pyro/agent/v1/agent_pb.ts'
import { verifies } from '../behaviours/promises.ts'
import { fakeAgent } from './agent.ts'

type Calls = Parameters<typeof fakeAgent>[0]

const connected = async (calls: Calls): Promise<Guest> => connectGuest(await fakeAgent(calls), { timeoutMs: 10_000 })

const unused = () => Promise.reject(new Error('no test pauses this machine'))

/** Attaches to a machine whose agent is in this process. */
async function attachTo(calls: Calls): Promise<{ disposed: () => boolean; attached: ReturnType<typeof attach> }> {
  let disposed = false
  const socket = await fakeAgent(calls)
  const starting = Promise.resolve({
    id: 'fake',
    pid: 0,
    dialControl: () => Promise.resolve(socket),
    ended: new Promise<never>(() => {}),
    pausable: false,
    renewLease: () => {},
    pause: unused,
    resume: unused,
    isPaused: unused,
    exchange: unused,
    onStalled: () => {},
    release: () => {},
    [Symbol.asyncDispose]: () => {
      disposed = true
      socket.destroy()
      return Promise.resolve()
    },
  })
  const id = newMachineId()
  return { disposed: () => disposed, attached: attach({ id, vmm: { name: 'host' }, variables: {}, starting, identity: identityOf({ id, seed: undefined, lasting: undefined }) }) }
}

verifies(['fork.randomness', 'fork.identity', 'fork.clock-at-start'], 'every attach brings entropy, an id and a time of its own', async () => {
  const requests: AttachRequest[] = []
  for (let i = 0; i < 3; i++) {
    const { attached } = await attachTo({
      attach: (request) => {
        requests.push(request)
        return {}
      },
      setClock: () => ({}),
    })
    await (await attached)[Symbol.asyncDispose]()
  }
  for (const { entropy, machineId, realtimeNs } of requests) {
    assert.equal(entropy.length, 64)
    assert.match(machineId, /^[0-9a-f]{32}$/)
    assert.ok(Math.abs(Number(realtimeNs / 1_000_000n) - Date.now()) < 60_000)
  }
  for (const distinct of [requests.map(({ entropy }) => Buffer.from(entropy).toString('hex')), requests.map(({ machineId }) => machineId), requests.map(({ hostname }) => hostname)]) {
    assert.equal(new Set(distinct).size, 3)
  }
})

verifies(['fork.randomness', 'life.no-leftovers'], 'a fork that could not be reseeded is an error, and the machine is gone', async () => {
  const { attached, disposed } = await attachTo({
    attach: () => {
      throw new ConnectError('no entropy\u001b[31m\n', Code.Internal)
    },
  })
  await assert.rejects(attached, (error: PyroError) => {
    assert.equal(error.code, 'guest_failed')
    assert.match(error.message, /attaching its disk: .*no entropy/)
    assert.doesNotMatch(error.message, /\p{Cc}/u)
    return true
  })
  assert.ok(disposed())
})

type Event = { event: { case: 'output'; value: { stream: OutputStream; offset: bigint; data: Uint8Array } } | { case: 'exit'; value: { code: number; timedOut?: boolean } } }
const output = (offset: number, data: string | Uint8Array): Event => ({ event: { case: 'output', value: { stream: OutputStream.STDOUT, offset: BigInt(offset), data: Buffer.from(data) } } })
const exit = (code: number): Event => ({ event: { case: 'exit', value: { code } } })

/** Runs a command in a guest that answers with these events, and counts how often it was asked to. */
async function answered(events: Event[], end?: ConnectError): Promise<{ asked: () => number; result: Promise<ExecEnd & { text: string }> }> {
  let asked = 0
  const guest = await connected({
    exec: async function* () {
      asked += 1
      yield* events
      if (end) throw end
    },
  })
  let text = ''
  const running = exec(guest, { argv: ['/bin/true'], cwd: '/', env: {}, timeoutMs: 0, onOutput: (_, data) => void (text += Buffer.from(data).toString()) })
  return { asked: () => asked, result: running.then((found) => ({ ...found, text })).finally(() => guest[Symbol.dispose]()) }
}

verifies('run.at-most-once', 'a guest that behaves is understood', async () => {
  const { result, asked } = await answered([output(0, 'a'), output(1, 'bc'), exit(3)])
  const { exitCode, text } = await result
  assert.deepEqual([exitCode, text, asked()], [3, 'abc', 1])
})

for (const [title, end, code] of [
  ['ends without an exit code', undefined, 'guest_failed'],
  ['is unavailable', new ConnectError('gone', Code.Unavailable), 'guest_unresponsive'],
  ['fails', new ConnectError('failed', Code.Internal), 'guest_failed'],
] as const) {
  verifies(['run.at-most-once', 'link.bounded'], `a guest that ${title} in the middle of output is an error, and is not asked again`, async () => {
    const { result, asked } = await answered([output(0, 'a')], end)
    await assert.rejects(result, (error: PyroError) => error.code === code)
    assert.equal(asked(), 1)
  })
}

verifies('link.bounded', 'a message above the limit is an error', async () => {
  const { result } = await answered([output(0, Buffer.alloc(5 * 1024 * 1024)), exit(0)])
  await assert.rejects(result, (error: PyroError) => error.code === 'guest_failed')
})

verifies('link.bounded', 'a long error text is cut', async () => {
  const { result } = await answered([], new ConnectError('x'.repeat(100_000), Code.Internal))
  await assert.rejects(result, (error: PyroError) => error.message.length < 1000)
})

for (const [title, events] of [
  ['twice', [output(0, 'a'), output(0, 'a'), exit(0)]],
  ['with a gap', [output(0, 'a'), output(5, 'b'), exit(0)]],
] as [string, Event[]][]) {
  verifies('link.bounded', `output that comes ${title} fails the call`, async () => {
    await assert.rejects((await answered(events)).result, (error: PyroError) => error.code === 'guest_failed')
  })
}

verifies('link.bounded', 'an exit code that no process has fails the call', async () => {
  for (const code of [-1, 256, 2 ** 31 - 1]) await assert.rejects((await answered([exit(code)])).result, (error: PyroError) => error.code === 'guest_failed')
})
