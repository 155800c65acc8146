import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openStore } from '../../src/store/open.ts'
import { ownerOf, ownState, tryStartLock } from '../../src/store/lock.ts'
import { withoutPrivilege } from '../behaviours/privilege.ts'
import { verifies } from '../behaviours/promises.ts'
import { child, line, temporaryState } from './state.ts'

const holder = (paths: object) => `
  import { ownState } from '@/store/lock.ts'
  try {
    const lock = ownState(${JSON.stringify(paths)})
    console.log('owned')
    process.stdin.on('data', () => { lock[Symbol.dispose](); console.log('freed') })
  } catch (error) { console.log(JSON.stringify({ code: error.code, message: error.message, ...error.details })) }`

verifies('state.one-owner', 'a second owner in the same process is refused, and told who is the first', () => {
  const paths = temporaryState()
  const first = ownState(paths)
  for (let n = 0; n < 3; n++) assert.throws(() => ownState(paths), { code: 'state_in_use', message: `process ${process.pid} owns the state directory ${paths.state}`, details: { pid: process.pid } })
  assert.equal(ownerOf(paths), process.pid)
  first[Symbol.dispose]()
  first[Symbol.dispose]()
  assert.equal(ownerOf(paths), undefined)
  ownState(paths)[Symbol.dispose]()
})

verifies('state.one-owner', 'of many processes one owns the state directory, and the next can once it was killed', async () => {
  const paths = temporaryState()
  const children = Array.from({ length: 6 }, () => child(holder(paths)))
  const lines = await Promise.all(children.map(line))
  const owner = children[lines.indexOf('owned')]
  assert.equal(lines.filter((text) => text === 'owned').length, 1)
  for (const text of lines.filter((text) => text !== 'owned')) assert.deepEqual([JSON.parse(text).code, JSON.parse(text).pid], ['state_in_use', owner?.process.pid])
  assert.throws(() => ownState(paths), { code: 'state_in_use' })
  owner?.process.kill('SIGKILL')
  await owner?.ended
  ownState(paths)[Symbol.dispose]()
})

verifies('state.one-owner', 'a refused attempt frees nothing of the owner', async () => {
  const paths = temporaryState()
  const lock = ownState(paths)
  assert.throws(() => ownState(paths))
  const other = child(holder(paths))
  assert.match(await line(other), /state_in_use/)
  lock[Symbol.dispose]()
})

verifies('state.one-starter', 'whoever waits for the start lock gets it when its holder is done, or not in time', async () => {
  const paths = temporaryState()
  const attempt = `
    import { tryStartLock } from '@/store/lock.ts'
    const paths = ${JSON.stringify(paths)}
    console.log('began')
    for (const ms of [0, 50, 20000]) {
      const lock = tryStartLock(paths, ms)
      console.log(lock ? 'locked' : 'busy')
    }`
  const mine = tryStartLock(paths)
  assert.ok(mine)
  assert.equal(tryStartLock(paths), undefined)
  const other = child(attempt)
  assert.deepEqual([await line(other), await line(other), await line(other)], ['began', 'busy', 'busy'])
  mine[Symbol.dispose]()
  assert.equal(await line(other), 'locked')
})

verifies('state.one-starter', 'many at once have the start lock one after the other', async () => {
  const paths = temporaryState()
  const script = `
    import { mkdirSync, rmdirSync } from 'node:fs'
    import { tryStartLock } from '@/store/lock.ts'
    const paths = ${JSON.stringify(paths)}
    for (let n = 0; n < 20; n++) {
      using lock = tryStartLock(paths, 60000)
      if (!lock) throw new Error('waited in vain')
      mkdirSync(paths.state + '/alone')
      rmdirSync(paths.state + '/alone')
    }`
  const ends = await Promise.all(Array.from({ length: 4 }, () => child(script)).map(({ ended }) => ended))
  assert.deepEqual(ends, ends.map(() => ({ code: 0, stderr: '' })))
})

verifies('store.private', 'state directory, locks and records are for their user only', async () => {
  const paths = temporaryState()
  rmSync(paths.state, { recursive: true })
  using _owner = ownState(paths)
  using _start = tryStartLock(paths)
  using store = (await openStore(paths)).store
  store.setMeta('some', 'thing')
  assert.equal(statSync(paths.state).mode & 0o777, 0o700)
  for (const name of ['owner.db', 'start.db', 'pyro.db', 'pyro.db-wal', 'reserve']) assert.equal(statSync(join(paths.state, name)).mode & 0o777, 0o600, name)
})

test('a lock file with something else in it works as a lock', () => {
  const paths = temporaryState()
  writeFileSync(paths.owner, 'no database '.repeat(1000))
  using _owner = ownState(paths)
  assert.throws(() => ownState(paths), { code: 'state_in_use' })
})

verifies('store.not-writable', 'a lock in whose place a directory is, or whose directory is a file, is refused by name', () => {
  const paths = temporaryState()
  mkdirSync(paths.owner)
  assert.throws(() => ownState(paths), { code: 'not_writable', message: `cannot write: ${paths.owner} is not a file of pyro's` })
  const file = join(paths.state, 'file')
  writeFileSync(file, '')
  assert.throws(() => ownState({ state: file, owner: join(file, 'owner.db') }), { code: 'not_writable', message: `cannot write: ${file} is not a directory` })
  assert.throws(() => ownState({ state: join(file, 'deep'), owner: join(file, 'deep', 'owner.db') }), { code: 'not_writable' })
})

verifies('store.not-writable', 'a read-only state directory is refused by name, and left as it is', async () => {
  const paths = temporaryState()
  chmodSync(paths.state, 0o500)
  const refused = child(holder(paths), ...withoutPrivilege())
  assert.deepEqual(JSON.parse(await line(refused)), { code: 'not_writable', message: `cannot write: ${paths.owner}` })
  chmodSync(paths.state, 0o700)
  assert.deepEqual(readdirSync(paths.state), [])
})

test('the module of the locks loads nothing but what locks need', () => {
  const source = readFileSync(join(import.meta.dirname, '../../src/store/lock.ts'), 'utf8')
  assert.deepEqual([...source.matchAll(/from '(.*)'/g)].map(([, name]) => name), ['node:fs', 'node:sqlite', '../contract/errors.ts'])
})
