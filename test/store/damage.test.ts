import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chownSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { Paths } from '../../src/host/paths.ts'
import { openStore } from '../../src/store/open.ts'
import type { OpenedStore } from '../../src/store/store.ts'
import { writeRecordFile } from '../../src/store/record-file.ts'
import { verifies } from '../behaviours/promises.ts'
import { command, makeDirectory, sandbox, temporaryState } from './state.ts'

const ids = ['aa0000000001', 'bb0000000002', 'cc0000000003']

/** A closed store with sandboxes, their directories and a long log. */
async function filled(): Promise<Paths> {
  const paths = temporaryState()
  using store = (await openStore(paths)).store
  for (const [index, id] of ids.entries()) {
    const row = sandbox(id, { name: `number ${index}`, machineId: 'm', seedDigest: 'abc' })
    store.insertSandbox(row)
    makeDirectory(paths, row)
    store.transaction(() => {
      for (let n = 0; n < 200; n++) store.nextCommand(id, command())
      for (let n = 0; n < 200; n++) store.appendEvent(id, { kind: 'x', recordedAt: n, payload: { text: 'y'.repeat(n) } })
    })
  }
  return paths
}

function assertFoundAgain({ store, recovered }: OpenedStore, paths: Paths): void {
  assert.deepEqual(recovered?.found, ids)
  assert.deepEqual(store.sandboxes().map(({ id }) => id).sort(), ids)
  for (const [index, id] of ids.entries()) {
    const { name, state, stoppedBy, machineId, paused, cleanStop, seedDigest } = store.sandbox(id) ?? {}
    assert.deepEqual({ name, state, stoppedBy, machineId, paused, cleanStop, seedDigest }, { name: `number ${index}`, state: 'stopped', stoppedBy: 'host', machineId: null, paused: false, cleanStop: false, seedDigest: 'abc' })
  }
  assert.deepEqual(readdirSync(paths.workspaces).sort(), ids)
}

/** Numbers that look random and are the same in every run: https://en.wikipedia.org/wiki/Linear_congruential_generator. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const damages: Record<string, (path: string) => void> = {
  'has random bytes in its header': (path) => scribble(path, 0, 40),
  'has random bytes in its schema': (path) => scribble(path, 100, 3900),
  'has random bytes in its pages': (path) => {
    for (let page = 1; page < readFileSync(path).length / 4096; page += 3) scribble(path, page * 4096, 64)
  },
  'has lost its second half': (path) => truncateSync(path, readFileSync(path).length / 2),
  'has lost all but a part of its header': (path) => truncateSync(path, 50),
  'is a text': (path) => writeFileSync(path, 'not a database\n'.repeat(500)),
  'is full of zeros': (path) => writeFileSync(path, Buffer.alloc(40960)),
  'has lost a table': (path) => sql(path, 'DROP TABLE intents'),
  'has a table of another form': (path) => sql(path, 'ALTER TABLE machines RENAME COLUMN vmm TO other'),
  'belongs to another program': (path) => sql(path, 'PRAGMA application_id = 1'),
}

function scribble(path: string, place: number, length: number): void {
  const bytes = readFileSync(path)
  const random = randomNumbers(place + 1)
  for (let n = 0; n < length; n++) bytes[place + n] = random(256)
  writeFileSync(path, bytes)
}

function sql(path: string, statement: string): void {
  const database = new DatabaseSync(path)
  database.exec(statement)
  database.close()
}

for (const [what, damage] of Object.entries(damages)) {
  verifies('store.damaged', `a database that ${what} is kept aside, and sandboxes are found again`, async () => {
    const paths = await filled()
    damage(paths.store)
    const before = readFileSync(paths.store)
    const opened = await openStore(paths)
    assertFoundAgain(opened, paths)
    assert.match(opened.recovered?.backup ?? '', /pyro\.db\.damaged-/)
    assert.ok(opened.recovered?.reason)
    assert.deepEqual(readFileSync(opened.recovered?.backup ?? ''), before)
    opened.store.close()
    const again = await openStore(paths)
    assert.equal(again.recovered, undefined)
    assert.equal(again.store.sandboxes().length, ids.length)
    again.store.close()
  })
}

for (const [what, lose] of Object.entries({ missing: (path: string) => rmSync(path), empty: (path: string) => truncateSync(path, 0) })) {
  verifies('store.damaged', `a database that is ${what} is made anew from the directories`, async () => {
    const paths = await filled()
    lose(paths.store)
    const opened = await openStore(paths)
    assertFoundAgain(opened, paths)
    assert.deepEqual([opened.recovered?.backup, opened.recovered?.reason], [null, `it is ${what}`])
    opened.store.close()
  })
}

verifies('store.damaged', 'wherever one byte is wrong, every sandbox is there or named', async () => {
  const paths = await filled()
  const whole = readFileSync(paths.store)
  const random = randomNumbers(7)
  const outcomes = { asWas: 0, foundAgain: 0 }
  for (let round = 0; round < 150; round++) {
    const bytes = Buffer.from(whole)
    // Most of the file is log; every second round hits what comes first.
    const place = random(round % 2 === 0 ? 4096 * 6 : bytes.length)
    bytes[place] = (bytes[place] ?? 0) ^ (1 + random(255))
    writeFileSync(paths.store, bytes)
    const where = `byte ${place}`
    const { store, recovered } = await openStore(paths).catch((error: unknown) => {
      assert.equal((error as { code?: string }).code, 'state_newer', where)
      return { store: undefined, recovered: undefined }
    })
    if (!store) continue
    // A byte of an id makes another id; the damage of text is not seen.
    assert.equal(store.sandboxes().length + store.damagedSandboxes().length, ids.length, where)
    store.insertSandbox(sandbox('dd0000000004'))
    assert.equal(store.nextCommand('dd0000000004', command()).sequence, 1, where)
    outcomes[recovered ? 'foundAgain' : 'asWas'] += 1
    store.close()
    rmSync(`${paths.store}-wal`, { force: true })
    if (recovered?.backup) rmSync(recovered.backup)
  }
  assert.ok(outcomes.asWas > 0 && outcomes.foundAgain > 0, JSON.stringify(outcomes))
})

verifies('store.damaged', 'a log of what was not yet in the database is kept beside its backup', async () => {
  const paths = temporaryState()
  const crashed = temporaryState()
  using store = (await openStore(paths)).store
  store.insertSandbox(sandbox('aa0000000001'))
  for (const part of ['', '-wal']) copyFileSync(paths.store + part, crashed.store + part)
  scribble(crashed.store, 0, 16)
  const opened = await openStore(crashed)
  assert.ok(existsSync(`${opened.recovered?.backup}-wal`))
  assert.deepEqual(opened.store.sandboxes(), [])
  opened.store.close()
})

verifies('store.damaged', 'a sandbox found again goes on after the last command that left output', async () => {
  const paths = temporaryState()
  const commands = join(makeDirectory(paths, sandbox('aa0000000001', { sequence: 2 })), 'commands')
  mkdirSync(commands)
  for (const name of ['000009.stdout', '000012.stderr', '99.other', 'x']) writeFileSync(join(commands, name), '')
  const { store } = await openStore(paths)
  assert.equal(store.nextCommand('aa0000000001', command()).sequence, 13)
  store.close()
})

test('a record file is replaced as a whole, and a failure leaves the old one', async () => {
  const paths = temporaryState()
  const row = sandbox('aa0000000001')
  const directory = makeDirectory(paths, row)
  writeRecordFile(paths, { ...row, name: 'second' })
  assert.deepEqual(readdirSync(directory), ['record.json'])
  assert.equal(JSON.parse(readFileSync(join(directory, 'record.json'), 'utf8')).name, 'second')
  assert.throws(() => writeRecordFile(paths, sandbox('bb0000000002')), { code: 'ENOENT' })
})

verifies('store.hostile-record', 'only sound records in directories of their own name are taken, the rest is told and left', async () => {
  const paths = temporaryState()
  const good = sandbox('aa0000000001')
  const record = (id: string) => join(makeDirectory(paths, { ...good, id }), 'record.json')
  const edit = (id: string, change: (row: Record<string, unknown>) => unknown) => {
    const path = record(id)
    writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))))
  }
  const outside = join(paths.state, 'outside.json')
  record(good.id)
  copyFileSync(join(paths.workspaces, good.id, 'record.json'), outside)

  const cases: Record<string, [id: string, make: (id: string) => void]> = {
    'its record is not JSON': ['b01', (id) => writeFileSync(record(id), '{"id":')],
    'its record is too large': ['b02', (id) => truncateSync(record(id), 1 << 30)],
    'its record is a symbolic link': ['b03', (id) => (rmSync(record(id)), symlinkSync(outside, join(paths.workspaces, id, 'record.json')))],
    'its record is not a file': ['b04', (id) => (rmSync(record(id)), execFileSync('mkfifo', [join(paths.workspaces, id, 'record.json')]))],
    'its record is that of "../b05"': ['b05', (id) => edit(id, (row) => ({ ...row, id: '../b05' }))],
    'its record is invalid: is not an object': ['b06', (id) => edit(id, () => [])],
    'its record is invalid: vcpuCount is not a whole number of at least 0': ['b07', (id) => edit(id, (row) => ({ ...row, vcpuCount: '1' }))],
    'its record is invalid: seed is not an object': ['b08', (id) => edit(id, (row) => ({ ...row, seed: undefined }))],
    'its record holds an invalid digest': ['b09', (id) => edit(id, (row) => ({ ...row, seedDigest: '../../x' }))],
    'its record holds control characters': ['b10', (id) => edit(id, (row) => ({ ...row, name: '\u001b[2J' }))],
    'it has no record': ['b11', (id) => rmSync(record(id))],
    'it is not a directory': ['b12', (id) => writeFileSync(join(paths.workspaces, id), '')],
  }
  for (const [id, make] of Object.values(cases)) make(id)
  const linked = join(paths.workspaces, 'b13')
  record('b13')
  renameSync(linked, join(paths.state, 'b13'))
  symlinkSync(join(paths.state, 'b13'), linked)
  if (process.getuid?.() === 0) chownSync(record('b14'), 12345, 12345)

  const { store, recovered } = await openStore(paths)
  assert.deepEqual(recovered?.found, [good.id])
  assert.deepEqual(
    recovered?.ignored.map(({ path, reason }) => [path, reason]),
    [
      ...Object.entries(cases).map(([reason, [id]]) => [join(paths.workspaces, id), reason]),
      [linked, 'it is not a directory'],
      ...(process.getuid?.() === 0 ? [[join(paths.workspaces, 'b14'), 'its record belongs to another user']] : []),
    ],
  )
  assert.equal(readdirSync(paths.workspaces).length, 1 + (recovered?.ignored.length ?? 0))
  store.close()
})
