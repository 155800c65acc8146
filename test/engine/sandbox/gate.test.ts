import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { Gate, type Pass } from '../../../src/engine/sandbox/gate.ts'
import { verifies } from '../../behaviours/promises.ts'

/** Notes who was let in, in which order. */
function visits(gate: Gate) {
  const inside = new Map<string, Pass>()
  const order: string[] = []
  const note = (name: string) => (pass: Pass) => {
    inside.set(name, pass)
    order.push(name)
  }
  return {
    order,
    share: (name: string, signal?: AbortSignal) => gate.enter(signal).then(note(name)),
    alone: (name: string, reason?: Error) => gate.enterAlone(undefined, reason).then(note(name)),
    leave: (name: string) => inside.get(name)?.[Symbol.dispose](),
    signal: (name: string) => inside.get(name)?.signal,
  }
}

verifies('gate.order', 'those that share are in together, one alone waits for them and holds up those behind it', async () => {
  const { order, share, alone, leave } = visits(new Gate())
  await Promise.all([share('a'), share('b')])
  void alone('c')
  void share('d')
  await turn()
  assert.deepEqual(order, ['a', 'b'])
  leave('a')
  await turn()
  assert.deepEqual(order, ['a', 'b'])
  leave('b')
  await turn()
  assert.deepEqual(order, ['a', 'b', 'c'])
  leave('c')
  await turn()
  assert.deepEqual(order, ['a', 'b', 'c', 'd'])
})

verifies('gate.order', 'one that cannot wait tells those inside to leave, and those behind it nothing', async () => {
  const { share, alone, leave, signal } = visits(new Gate())
  await share('a')
  const reason = new Error('stop')
  void alone('b', reason)
  void share('c')
  await turn()
  assert.equal(signal('a')?.reason, reason)
  leave('a')
  await turn()
  leave('b')
  await turn()
  assert.equal(signal('c')?.aborted, false)
})

verifies('gate.order', 'who gives up waiting lets those behind it in', async () => {
  const { order, share, alone, leave } = visits(new Gate())
  const gone = new AbortController()
  await alone('a')
  const waiting = share('b', gone.signal)
  void share('c')
  gone.abort(new Error('gave up'))
  await assert.rejects(waiting, /gave up/)
  leave('a')
  await turn()
  assert.deepEqual(order, ['a', 'c'])
})

verifies('gate.order', 'leaving twice is leaving once', async () => {
  const gate = new Gate()
  const first = await gate.enter()
  first[Symbol.dispose]()
  const alone = await gate.enterAlone()
  first[Symbol.dispose]()
  assert.equal(gate.free, false)
  assert.equal(gate.tryAlone(), undefined)
  alone[Symbol.dispose]()
  assert.equal(gate.free, true)
})
