import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { openStore } from '../../src/store/open.ts'
import type { MachineRow, SandboxRow } from '../../src/store/rows.ts'
import type { Store } from '../../src/store/store.ts'
import { verifies } from '../behaviours/promises.ts'
import { command, sandbox, temporaryState } from './state.ts'

async function emptyStore(): Promise<Store> {
  return (await openStore(temporaryState())).store
}

const full: SandboxRow = sandbox('a1', {
  kind: 'vm',
  name: `it's "a" name; -- \u{1f600} ${'ä'.repeat(100)}`,
  labels: { zebra: '1', ape: '', __proto: 'x' },
  environmentVersion: '12',
  environmentDigest: 'abc',
  state: 'stopped',
  paused: true,
  stoppedBy: 'memory',
  error: 'two\nlines',
  allowHostCompat: true,
  machineId: 'm1',
  seed: {
    mode: 'directory',
    seed_path: '/a b/c',
    origin_kind: 'manual_seed_path',
    origin_ref: '/a b/c',
    git_tracked_only: false,
    destination: '/workspace',
    entry_count: 7,
    bytes_written: 2 ** 40,
    skipped: [{ path: 'x', type: 'fifo' }],
  },
  seedDigest: 'def',
  epoch: 3,
  sequence: 9,
  checkpoint: 2 ** 40,
  lastResetAt: 1.5,
  retentionDueAt: 1e10 + 0.125,
  cleanStop: true,
})

verifies('store.exact', 'every kind of record is read as it was written, after opening again too', async () => {
  const paths = temporaryState()
  const machine: MachineRow = { id: 'm1', sandboxId: 'a1', kind: 'sandbox', vmm: 'qemu', createdAt: 5.5, details: { pid: 7, nested: [1, null, 'x'] } }
  const warm: MachineRow = { id: 'm2', sandboxId: null, kind: 'warm', vmm: 'host', createdAt: 6, details: {} }
  const intent = { id: 'i1', sandboxId: 'gone', kind: 'create', payload: { a: [true] }, createdAt: 7 }
  {
    using store = (await openStore(paths)).store
    store.insertSandbox(full)
    store.insertSandbox(sandbox('b2'))
    store.insertMachine(warm)
    store.insertMachine(machine)
    store.insertIntent(intent)
    store.setMeta('boot', 'x')
  }
  using store = (await openStore(paths)).store
  assert.deepEqual(store.sandbox('a1'), full)
  assert.deepEqual(store.sandbox('b2'), sandbox('b2'))
  assert.equal(store.sandbox('c3'), undefined)
  assert.deepEqual(store.sandboxes('vm'), [full])
  assert.deepEqual(store.machines(), [machine, warm])
  assert.deepEqual(store.intents(), [intent])
  assert.equal(store.meta('boot'), 'x')
  store.setMeta('boot', null)
  assert.equal(store.meta('boot'), undefined)
})

verifies('store.exact', 'a value that could not be read again is refused, and nothing is written', async () => {
  using store = await emptyStore()
  for (const wrong of [{ vcpuCount: 1.5 }, { createdAt: Number.NaN }, { state: 'lost' }, { labels: { a: 1 } }, { sequence: -1 }, { name: 7 }]) {
    assert.throws(() => store.insertSandbox(sandbox('a1', wrong as never)), new RegExp(Object.keys(wrong)[0] ?? ''))
  }
  store.insertSandbox(sandbox('a1'))
  assert.throws(() => store.updateSandbox('a1', { paused: 1 as never }), /paused/)
  assert.deepEqual(store.sandboxes(), [sandbox('a1')])
})

test('sandboxes come with the last used first, then the youngest, then by id', async () => {
  using store = await emptyStore()
  for (const [id, lastActivityAt, createdAt] of [['d', 1, 1], ['b', 2, 1], ['c', 2, 1], ['a', 2, 0]] as const) store.insertSandbox(sandbox(id, { lastActivityAt, createdAt }))
  assert.deepEqual(store.sandboxes('workspace').map(({ id }) => id), ['b', 'c', 'a', 'd'])
})

test('an update changes what it names and gives the row as it is then', async () => {
  using store = await emptyStore()
  store.insertSandbox(sandbox('a1'))
  store.insertSandbox(sandbox('b2'))
  const changes = { name: 'n', state: 'stopped', stoppedBy: 'user', labels: { x: 'y' }, cleanStop: true } as const
  assert.deepEqual(store.updateSandbox('a1', changes), sandbox('a1', changes))
  assert.deepEqual(store.updateSandbox('a1', {}), sandbox('a1', changes))
  assert.deepEqual(store.updateSandbox('a1', { name: null }).name, null)
  assert.deepEqual(store.sandbox('b2'), sandbox('b2'))
  assert.throws(() => store.updateSandbox('c3', { name: 'n' }), { code: 'not_found' })
  assert.throws(() => store.insertSandbox(sandbox('a1')), { code: 'conflict' })
})

verifies('store.command-numbers', 'commands are numbered from 1, end once, and are found by number, state and age', async () => {
  using store = await emptyStore()
  store.insertSandbox(sandbox('a1'))
  const rows = [1, 2, 3].map((second) => store.nextCommand('a1', command({ recordedAt: second })))
  assert.deepEqual(rows.map(({ sequence }) => sequence), [1, 2, 3])
  assert.deepEqual(store.sandbox('a1'), sandbox('a1', { sequence: 3, lastActivityAt: 3 }))
  store.nextCommand('a1', command({ recordedAt: 4, expiresAt: 99 }))
  assert.equal(store.sandbox('a1')?.expiresAt, 99)

  const end = { state: 'ended', exitCode: -1, timedOut: true, durationMs: 12, stdoutBytes: 2 ** 40, stderrBytes: 1 } as const
  assert.equal(store.endCommand({ sandboxId: 'a1', epoch: 0, sequence: 2 }, end), true)
  assert.equal(store.endCommand({ sandboxId: 'a1', epoch: 0, sequence: 2 }, { ...end, exitCode: 0 }), false)
  assert.equal(store.endCommand({ sandboxId: 'a1', epoch: 0, sequence: 9 }, end), false)
  assert.deepEqual(store.commands('a1', { sequence: 2 }), [{ ...rows[1], ...end }])
  assert.deepEqual(store.commands('a1', { state: 'running' }).map(({ sequence }) => sequence), [1, 3, 4])
  assert.deepEqual(store.commands('a1', { newest: true, limit: 2 }).map(({ sequence }) => sequence), [4, 3])
  assert.deepEqual(store.commands('a1', { limit: 1 }), [rows[0]])
  assert.throws(() => store.nextCommand('b2', command()), { code: 'not_found' })
})

verifies('store.epochs', 'a reset hides the commands and events from before it', async () => {
  using store = await emptyStore()
  store.insertSandbox(sandbox('a1'))
  store.nextCommand('a1', command())
  store.appendEvent('a1', { kind: 'file_write', recordedAt: 1, payload: { path: '/a' } })
  store.updateSandbox('a1', { epoch: 1, sequence: 0 })
  assert.deepEqual(store.commands('a1'), [])
  assert.deepEqual(store.events('a1'), [])
  const first = store.nextCommand('a1', command())
  const event = store.appendEvent('a1', { kind: 'patch_apply', recordedAt: 2, payload: { n: 1 } })
  assert.deepEqual([first.epoch, first.sequence, event.epoch], [1, 1, 1])
  assert.deepEqual(store.commands('a1'), [first])
  assert.deepEqual(store.events('a1'), [event])
})

test('events keep their order and are found by kind and place', async () => {
  using store = await emptyStore()
  store.insertSandbox(sandbox('a1'))
  const kinds = ['x', 'y', 'x', 'z']
  const events = kinds.map((kind, index) => store.appendEvent('a1', { kind, recordedAt: 9 - index, payload: { index } }))
  const ofNone = store.appendEvent(null, { kind: 'delete', recordedAt: 1, payload: { id: 'gone' } })
  const indexes = (query: Parameters<Store['events']>[1]) => store.events('a1', query).map(({ payload }) => payload['index'])
  assert.deepEqual(store.events('a1'), events)
  assert.deepEqual(indexes({ kinds: ['x', 'z'] }), [0, 2, 3])
  assert.deepEqual(indexes({ kinds: [] }), [])
  assert.deepEqual(indexes({ newest: true, limit: 2 }), [3, 2])
  assert.deepEqual(indexes({ after: events[1]?.id, limit: 1 }), [2])
  assert.deepEqual(store.events(null), [ofNone])
  assert.throws(() => store.appendEvent('b2', { kind: 'x', recordedAt: 1, payload: {} }), { code: 'not_found' })
})

verifies('store.delete-all', 'a deleted sandbox takes all of its records along, and no others', async () => {
  using store = await emptyStore()
  for (const id of ['a1', 'b2']) {
    store.insertSandbox(sandbox(id))
    store.nextCommand(id, command())
    store.appendEvent(id, { kind: 'x', recordedAt: 1, payload: {} })
    store.insertMachine({ id: `m-${id}`, sandboxId: id, kind: 'sandbox', vmm: 'qemu', createdAt: 1, details: {} })
    store.insertIntent({ id: `i-${id}`, sandboxId: id, kind: 'stop', payload: {}, createdAt: 1 })
  }
  assert.equal(store.deleteSandbox('a1'), true)
  assert.equal(store.deleteSandbox('a1'), false)
  store.insertSandbox(sandbox('a1'))
  assert.deepEqual([store.commands('a1'), store.events('a1'), store.intents('a1')], [[], [], []])
  assert.deepEqual([store.commands('b2').length, store.events('b2').length, store.machines().length, store.intents().length], [1, 1, 1, 1])
})

test('machines and intents are changed and removed by their ids', async () => {
  using store = await emptyStore()
  store.insertMachine({ id: 'm1', sandboxId: null, kind: 'warm', vmm: 'qemu', createdAt: 1, details: {} })
  store.updateMachine('m1', { sandboxId: 'a1', kind: 'sandbox', details: { pid: 3 } })
  assert.deepEqual(store.machines(), [{ id: 'm1', sandboxId: 'a1', kind: 'sandbox', vmm: 'qemu', createdAt: 1, details: { pid: 3 } }])
  assert.throws(() => store.updateMachine('m2', { vmm: 'host' }), { code: 'not_found' })
  store.deleteMachine('m1')
  assert.deepEqual(store.machines(), [])
  store.insertIntent({ id: 'i1', sandboxId: 'a1', kind: 'stop', payload: {}, createdAt: 1 })
  store.closeIntent('i1')
  assert.deepEqual(store.intents(), [])
})

verifies('store.whole', 'a transaction that throws leaves nothing, an inner one only what is its own', async () => {
  using store = await emptyStore()
  const fault = new Error('enough')
  assert.throws(
    () =>
      store.transaction(() => {
        store.insertSandbox(sandbox('a1'))
        store.nextCommand('a1', command())
        throw fault
      }),
    fault,
  )
  assert.deepEqual(store.sandboxes(), [])
  const answer = store.transaction(() => {
    store.insertSandbox(sandbox('a1'))
    assert.throws(() =>
      store.transaction(() => {
        store.insertSandbox(sandbox('b2'))
        throw fault
      }),
    )
    store.transaction(() => store.nextCommand('a1', command()))
    return 42
  })
  assert.equal(answer, 42)
  assert.deepEqual(store.sandboxes().map(({ id, sequence }) => [id, sequence]), [['a1', 1]])
  assert.throws(() => store.transaction((async () => store.insertSandbox(sandbox('c3'))) as never), /async/)
  assert.equal(store.sandbox('c3'), undefined)
})

verifies('store.damaged-row', 'a sandbox with a damaged row is named, listed apart and deletable', async () => {
  const paths = temporaryState()
  {
    using store = (await openStore(paths)).store
    for (const id of ['a1', 'b2', 'c3', 'd4']) store.insertSandbox(sandbox(id))
    store.nextCommand('b2', command())
  }
  const database = new DatabaseSync(paths.store)
  database.exec(`UPDATE sandboxes SET labels = '{"a":' WHERE id = 'a1'; UPDATE sandboxes SET sequence = 9223372036854775807 WHERE id = 'c3'; UPDATE sandboxes SET seed = '[]' WHERE id = 'd4'`)
  database.exec(`UPDATE commands SET state = 'odd'`)
  database.close()
  using store = (await openStore(paths)).store
  assert.deepEqual(store.sandboxes().map(({ id }) => id), ['b2'])
  assert.deepEqual(store.commands('b2'), [])
  assert.deepEqual(store.damagedSandboxes(), ['a1', 'c3', 'd4'])
  for (const [id, reason] of [['a1', 'labels is not JSON'], ['c3', 'sequence is not a whole number of at least 0'], ['d4', 'seed is not an object']] as const) {
    assert.throws(() => store.sandbox(id), { code: 'wrong_state', message: `workspace record ${id} is invalid: ${reason}` })
    assert.equal(store.deleteSandbox(id), true)
  }
  assert.deepEqual(store.damagedSandboxes(), [])
})
