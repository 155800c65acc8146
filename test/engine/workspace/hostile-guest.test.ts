import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { openLink } from '../../../src/engine/machine/link.ts'
import { keptBytes, outputFile } from '../../../src/engine/sandbox/command-files.ts'
import { sandboxFiles } from '../../../src/engine/sandbox/directory.ts'
import type { Live } from '../../../src/engine/sandbox/sandbox.ts'
import { OutputStream } from '../../../src/guest/gen/pyro/agent/v1/agent_pb.ts'
import { encodeFrame } from '../../../src/guest/link/handshake.ts'
import { until } from '../../behaviours/home.ts'
import { verifies } from '../../behaviours/promises.ts'
import { own } from '../../behaviours/workspaces.ts'
import { channel, fakeAgent, nonceOf } from '../../guest/agent.ts'

const owner = await own({ PYRO_WARM_FORKS: '0' })
const { call, create, run } = owner

function liveOf(id: string): Live {
  const live = owner.orchestrator.sandboxes.get(id)?.live
  assert.ok(live, `${id} has no machine`)
  return live
}

/** Stops the guest and its VMM in the midst of whatever they do. */
function freeze(id: string): void {
  process.kill(liveOf(id).machine.pid, 'SIGSTOP')
}

/** Puts somebody else in the place of the guest's agent. */
function replaceAgent(id: string, dialControl: () => Promise<Socket>): void {
  const live = liveOf(id)
  live.link[Symbol.dispose]()
  Object.assign(live, { link: openLink({ dialControl }) })
}

/** How something ends, and after how many seconds. */
async function timed<T>(work: Promise<T>): Promise<{ seconds: number; value?: T; code?: string }> {
  const begun = performance.now()
  const seconds = () => (performance.now() - begun) / 1000
  return work.then(
    (value) => ({ seconds: seconds(), value }),
    (error: { code?: string }) => ({ seconds: seconds(), code: String(error.code) }),
  )
}

const stop = (id: string) => call('workspace_stop', { workspace_id: id })
const remove = (id: string) => call('workspace_delete', { workspace_id: id })

async function silentGuests(): Promise<void> {
  const [timedOut, givenUp, stopped, deleted, asleep, other] = [await create(), await create(), await create(), await create(), await create(), await create()]
  owner.orchestrator.store.updateSandbox(asleep, { ttlSeconds: 0 })
  await run(asleep, 'true')
  await until('the pause', () => liveOf(asleep).paused)
  await run(stopped, 'echo kept >file; sync')
  const silent = [timedOut, givenUp, stopped, deleted, asleep]
  for (const id of silent) freeze(id)

  const abort = new AbortController()
  const begun = owner.orchestrator.sandboxes.get(givenUp)?.commands
  const outcomes = Promise.all([
    timed(call('workspace_exec', { workspace_id: timedOut, command: 'true', timeout_seconds: 1 })),
    timed(call('workspace_exec', { workspace_id: givenUp, command: 'true', timeout_seconds: 0 }, { signal: abort.signal })),
    timed(call('workspace_exec', { workspace_id: deleted, command: 'true', timeout_seconds: 0 })),
    timed(run(asleep, 'true')),
    timed(stop(stopped)),
  ])
  await until('the command to be under way', () => begun?.size)
  for (let i = 0; i < 10; i += 1) {
    const worked = await timed(run(other, 'echo works'))
    assert.ok(worked.value?.stdout === 'works\n' && worked.seconds < 5, `another workspace was held up for ${worked.seconds} s`)
    assert.ok((await call('workspace_list', {})).count > silent.length)
  }
  abort.abort()
  const removal = await timed(remove(deleted))
  assert.ok(removal.value?.deleted && removal.seconds < 15, `the removal took ${removal.seconds} s`)

  const [inTime, onAbort, byRemoval, onWaking, onStop] = await outcomes
  assert.deepEqual([inTime.code, byRemoval.code, onWaking.code], ['guest_unresponsive', 'wrong_state', 'guest_unresponsive'])
  assert.ok(onAbort.code !== undefined && onAbort.seconds < 20, `giving up took ${onAbort.seconds} s`)
  assert.ok(inTime.seconds < 75 && onWaking.seconds < 40 && onStop.seconds < 45, JSON.stringify([inTime.seconds, onWaking.seconds, onStop.seconds]))
  assert.deepEqual([onStop.value?.state, onStop.value?.metadata['clean_stop']], ['stopped', 'false'])
  assert.match(onStop.value?.metadata['error'] ?? '', /did not unmount/)
  await call('workspace_start', { workspace_id: stopped })
  assert.equal((await run(stopped, 'cat file')).stdout, 'kept\n')
  for (const id of [timedOut, givenUp, asleep]) assert.equal((await remove(id)).deleted, true)
}

const garbage: Record<string, () => Promise<Socket>> = {
  'hangs up at once': async () => {
    const { host, guest } = await channel()
    guest.destroy()
    return host
  },
  'answers garbage': async () => {
    const { host, guest } = await channel()
    guest.on('data', () => guest.write(randomBytes(1000)))
    return host
  },
  'answers garbage once it has been greeted': async () => {
    const { host, guest } = await channel()
    let received = Buffer.alloc(0)
    guest.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      const nonce = nonceOf(received)
      if (nonce) guest.end(Buffer.concat([encodeFrame('E', nonce), Buffer.from('PRI'), randomBytes(1000)]))
    })
    return host
  },
  'sends an exit code that is none': () => fakeAgent({ exec: () => events({ event: { case: 'exit', value: { code: 1000 } } }) }),
  'sends no end': () => fakeAgent({ exec: () => events() }),
  'sends output out of order': () => fakeAgent({ exec: () => events({ event: { case: 'output', value: { stream: OutputStream.STDOUT, offset: 5n, data: Buffer.from('x') } } }) }),
  'sends output of no stream': () => fakeAgent({ exec: () => events({ event: { case: 'output', value: { stream: OutputStream.UNSPECIFIED, offset: 0n, data: Buffer.from('x') } } }) }),
  'sends a message that is too long': () => fakeAgent({ exec: () => events({ event: { case: 'output', value: { stream: OutputStream.STDOUT, offset: 0n, data: Buffer.alloc(5 * 1024 ** 2) } } }) }),
  'refuses everything': () => fakeAgent({}),
}

async function* events<T>(...sent: T[]): AsyncGenerator<T> {
  yield* sent
}

async function garbledGuest(dial: () => Promise<Socket>): Promise<void> {
  const id = await create()
  await run(id, 'echo kept >file; sync')
  replaceAgent(id, dial)
  const failed = await timed(call('workspace_exec', { workspace_id: id, command: 'true', timeout_seconds: 0 }))
  assert.ok(failed.code === 'guest_failed' || failed.code === 'guest_unresponsive', `it was answered by ${failed.code}`)
  assert.ok(failed.seconds < 45, `the error took ${failed.seconds} s`)
  const [entry] = (await call('workspace_logs', { workspace_id: id, sequence: 2 })).entries
  assert.deepEqual([entry?.state, entry?.exit_code], ['lost', null])
  const ended = await timed(stop(id))
  assert.ok(ended.value?.state === 'stopped' && ended.seconds < 45, `the stop ended with ${ended.code} after ${ended.seconds} s`)
  await call('workspace_start', { workspace_id: id })
  assert.equal((await run(id, 'cat file')).stdout, 'kept\n')
  await remove(id)
}

// Most of it is waiting, so all of it goes on at the same time.
const silence = silentGuests()
const garbled = Object.entries(garbage).map(([what, dial]) => ({ what, outcome: garbledGuest(dial) }))
for (const outcome of [silence, ...garbled.map(({ outcome }) => outcome)]) outcome.catch(() => {}) // its test tells

verifies(['hostile.bounded', 'hostile.apart'], 'a guest that answers nothing costs an error, can be stopped and deleted, and holds no other workspace up', { timeout: 240_000 }, () => silence)

for (const { what, outcome } of garbled) {
  verifies('hostile.bounded', `a guest that ${what} costs an error, and its workspace stops and starts again`, { timeout: 120_000 }, () => outcome)
}

verifies(['hostile.bounded', 'hostile.apart'], 'a machine that answers nothing when it is taken over is ended, and its workspace starts again', async () => {
  const [silent, other] = [await create(), await create()]
  await run(silent, 'echo kept >file; sync')
  await run(other, 'echo kept >file')
  freeze(silent)
  const { seconds } = await timed(owner.reopen())
  assert.ok(seconds < 40, `taking over took ${seconds} s`)
  assert.equal((await call('workspace_status', { workspace_id: other })).state, 'started')
  assert.deepEqual([(await run(silent, 'cat file')).stdout, (await run(other, 'cat file')).stdout], ['kept\n', 'kept\n'])
})

verifies('hostile.flat', 'endless output costs no memory, and no more of the disk than is kept', { timeout: 120_000 }, async () => {
  const id = await create()
  const data = Buffer.alloc(64 * 1024, 'x')
  let offset = 0n
  async function* endless() {
    for (; ; offset += BigInt(data.length)) yield { event: { case: 'output' as const, value: { stream: OutputStream.STDOUT, offset, data } } }
  }
  replaceAgent(id, () => fakeAgent({ exec: endless, signal: () => ({}) }))
  const before = process.memoryUsage.rss()
  const abort = new AbortController()
  const going = timed(call('workspace_exec', { workspace_id: id, command: 'yes', timeout_seconds: 0 }, { signal: abort.signal }))
  const written = () => owner.orchestrator.sandboxes.get(id)?.commands.get(1)?.bytes.stdout ?? 0
  let most = 0
  await until('twice of what is kept', () => {
    most = Math.max(most, process.memoryUsage.rss())
    return written() > 2 * keptBytes
  }, 60_000)
  assert.ok(most - before < 150 * 1024 ** 2, `${Math.round((most - before) / 1024 ** 2)} MiB more`)
  assert.equal(statSync(join(sandboxFiles(owner.home.engine.paths, id).commands, outputFile(1, 'stdout'))).size, keptBytes)
  const [entry] = (await call('workspace_logs', { workspace_id: id, sequence: 1, offset: keptBytes - 10 })).entries
  assert.deepEqual([entry?.state, entry?.stdout, entry?.stdout_truncated], ['running', 'x'.repeat(10), true])
  abort.abort()
  assert.ok((await going).seconds < 90)
  await remove(id)
})
