import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { type Migration, migrations } from '../../src/store/layout.ts'
import { openStore } from '../../src/store/open.ts'
import { verifies } from '../behaviours/promises.ts'
import { command, sandbox, temporaryState } from './state.ts'

/** Layouts that might come. */
const later: readonly Migration[] = [
  ...migrations,
  (connection) => connection.exec(`ALTER TABLE sandboxes ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'; CREATE TABLE shelves (id TEXT PRIMARY KEY) STRICT`),
  (connection) => {
    for (const { id } of connection.all('SELECT id FROM sandboxes')) connection.run('INSERT INTO shelves VALUES (:id)', { id: id ?? null })
  },
]

function layoutOf(path: string): number {
  return readFileSync(path).readUInt32BE(60)
}

for (let layout = 1; layout <= later.length; layout++) {
  verifies('store.upgrade', `records of layout ${layout} of ${later.length} are upgraded and stay`, async () => {
    const paths = temporaryState()
    {
      using store = (await openStore(paths, later.slice(0, layout))).store
      store.insertSandbox(sandbox('a1', { name: 'kept' }))
      store.nextCommand('a1', command())
    }
    assert.equal(layoutOf(paths.store), layout)
    const { store, recovered } = await openStore(paths, later)
    assert.equal(recovered, undefined)
    assert.equal(store.sandbox('a1')?.name, 'kept')
    assert.equal(store.commands('a1').length, 1)
    store.close()
    assert.equal(layoutOf(paths.store), later.length)
    const database = new DatabaseSync(paths.store)
    assert.deepEqual(database.prepare('SELECT colour, shelves.id AS shelf FROM sandboxes LEFT JOIN shelves USING (id)').all().map((row) => ({ ...row })), [
      { colour: 'red', shelf: layout === later.length ? null : 'a1' },
    ])
    database.close()
  })
}

verifies('store.upgrade', 'an upgrade that fails on its way leaves the records as they were', async () => {
  const paths = temporaryState()
  {
    using store = (await openStore(paths)).store
    store.insertSandbox(sandbox('a1'))
  }
  const before = readFileSync(paths.store)
  const broken: Migration[] = [
    ...later,
    () => {
      throw new Error('broken')
    },
  ]
  await assert.rejects(openStore(paths, broken), /broken/)
  assert.deepEqual(readFileSync(paths.store), before)
  using store = (await openStore(paths)).store
  assert.ok(store.sandbox('a1'))
})

verifies('store.newer', 'records of a newer pyro are refused, and no byte of them is touched', async () => {
  const paths = temporaryState()
  {
    using store = (await openStore(paths, later)).store
    store.insertSandbox(sandbox('a1'))
  }
  const names = readdirSync(paths.state)
  const before = readFileSync(paths.store)
  await assert.rejects(openStore(paths), { code: 'state_newer', details: { layout: later.length, known: migrations.length } })
  assert.deepEqual(readFileSync(paths.store), before)
  assert.deepEqual(readdirSync(paths.state), names)
})
