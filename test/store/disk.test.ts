import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import type { Paths } from '../../src/host/paths.ts'
import { ownState } from '../../src/store/lock.ts'
import { openStore } from '../../src/store/open.ts'
import { writeRecordFile } from '../../src/store/record-file.ts'
import type { Store } from '../../src/store/store.ts'
import { withoutPrivilege } from '../behaviours/privilege.ts'
import { verifies } from '../behaviours/promises.ts'
import { child, command, line, makeDirectory, sandbox, statePaths, temporaryState } from './state.ts'

const mayMount = process.getuid?.() === 0
const mib = 1024 * 1024

/** A state directory on a disk of its own. */
function smallDisk(bytes: number): Paths {
  const directory = mkdtempSync(join(tmpdir(), 'pyro-disk-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes},nr_inodes=1000`, 'tmpfs', directory])
  after(() => {
    execFileSync('umount', ['--lazy', directory])
    rmSync(directory, { recursive: true })
  })
  return statePaths(join(directory, 'state'))
}

function free(paths: Paths): number {
  const { bavail, bsize } = statfsSync(paths.state)
  return bavail * bsize
}

function fill(paths: Paths): string {
  const path = join(paths.state, 'filler')
  writeFileSync(path, Buffer.alloc(free(paths)))
  assert.equal(free(paths), 0)
  return path
}

/** Writes until the disk is full. */
function writeToTheEnd(store: Store, id: string): number {
  for (let written = 0; ; written++) {
    try {
      store.transaction(() => {
        store.nextCommand(id, command())
        store.appendEvent(id, { kind: 'x', recordedAt: 1, payload: { text: 'x'.repeat(20_000) } })
      })
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'no_space')
      return written
    }
  }
}

verifies('store.full-disk', 'a write on a full disk fails as such, what was written stays, and writing goes on once there is room', { skip: !mayMount }, async () => {
  const paths = smallDisk(8 * mib)
  using store = (await openStore(paths)).store
  store.insertSandbox(sandbox('a1'))
  const filler = fill(paths)
  const written = writeToTheEnd(store, 'a1')
  for (let n = 0; n < 3; n++) assert.throws(() => store.insertSandbox(sandbox(`b${n}`, { name: 'x'.repeat(100_000) })), { code: 'no_space', message: `no space left: ${paths.store}` })
  assert.deepEqual([store.commands('a1').length, store.events('a1').length, store.sandbox('a1')?.sequence], [written, written, written])
  assert.deepEqual(store.sandboxes().map(({ id }) => id), ['a1'])
  rmSync(filler)
  assert.equal(store.nextCommand('a1', command()).sequence, written + 1)
  assert.equal(statSync(join(paths.state, 'reserve')).size, mib)
})

verifies(['store.full-disk', 'store.durable'], 'what a single write answered on a disk that fills up is there', { skip: !mayMount }, async () => {
  for (const bytes of [100, 3000, 9000]) {
    const paths = smallDisk(4 * mib)
    const { store } = await openStore(paths)
    store.insertSandbox(sandbox('a1'))
    let events = 0
    let name = ''
    assert.throws(
      () => {
        for (;;) {
          store.appendEvent('a1', { kind: 'x', recordedAt: 1, payload: { text: 'x'.repeat(bytes) } })
          events += 1
          const next = `${events} ${'y'.repeat(bytes)}`
          if (store.updateSandbox('a1', { name: next }).name === next) name = next
        }
      },
      { code: 'no_space' },
    )
    store.close()
    rmSync(join(paths.state, 'reserve'))
    const again = (await openStore(paths)).store
    assert.deepEqual([again.events('a1').length, again.sandbox('a1')?.name], [events, name])
    again.close()
  }
})

verifies('store.full-disk', 'after a crash on a full disk the records open as they were, and a delete works', { skip: !mayMount }, async () => {
  const paths = smallDisk(8 * mib)
  const filling = child(`
    import { ownState } from '@/store/lock.ts'
    import { openStore } from '@/store/open.ts'
    const paths = ${JSON.stringify(paths)}
    const lock = ownState(paths)
    const { store } = await openStore(paths)
    store.insertSandbox(${JSON.stringify(sandbox('a1'))})
    console.log('ready')
    process.stdin.resume()
    for (let n = 0; ; n++) {
      try { store.appendEvent('a1', { kind: 'x', recordedAt: 1, payload: { text: 'x'.repeat(20000) } }) }
      catch (error) { console.log(error.code + ' ' + n); process.kill(process.pid, 'SIGKILL') }
    }`)
  assert.equal(await line(filling), 'ready')
  const [code, written] = (await line(filling)).split(' ')
  assert.equal(code, 'no_space')
  await filling.ended
  const reserve = join(paths.state, 'reserve')
  assert.ok(existsSync(reserve))
  if (free(paths) > 0) fill(paths)

  using _owner = ownState(paths)
  using store = (await openStore(paths)).store
  assert.equal(store.events('a1').length, Number(written))
  await store.withReserve(async () => {
    assert.ok(!existsSync(reserve))
    await store.withReserve(() => store.insertIntent({ id: 'i1', sandboxId: 'a1', kind: 'delete', payload: {}, createdAt: 1 }))
    assert.ok(!existsSync(reserve))
    assert.equal(store.deleteSandbox('a1'), true)
    rmSync(join(paths.state, 'filler'), { force: true })
  })
  assert.deepEqual(store.sandboxes(), [])
})

verifies('store.full-disk', 'a sandbox with a log of many times the reserve is deleted on a full disk', { skip: !mayMount }, async () => {
  const paths = smallDisk(16 * mib)
  using store = (await openStore(paths)).store
  for (const id of ['a1', 'b2']) store.insertSandbox(sandbox(id))
  store.nextCommand('b2', command())
  for (let piece = 0; piece < 10; piece++) {
    store.transaction(() => {
      for (let n = 0; n < 1000; n++) store.nextCommand('a1', { ...command(), command: 'x'.repeat(500) })
    })
  }
  fill(paths)
  await store.withReserve(() => assert.equal(store.deleteSandbox('a1'), true))
  assert.deepEqual([store.sandboxes().map(({ id }) => id), store.commands('b2').length], [['b2'], 1])
})

verifies('store.full-disk', 'the reserve is taken again once there is room', { skip: !mayMount }, async () => {
  const paths = smallDisk(4 * mib)
  using store = (await openStore(paths)).store
  const reserve = join(paths.state, 'reserve')
  assert.equal(statSync(reserve).size, mib)
  let filler = ''
  await assert.rejects(
    store.withReserve(() => {
      filler = fill(paths)
      throw new Error('failed')
    }),
    /failed/,
  )
  assert.ok(!existsSync(reserve))
  rmSync(filler)
  assert.equal(await store.withReserve(() => 5), 5)
  assert.equal(statSync(reserve).size, mib)
})

verifies('store.full-disk', 'a state directory on a full disk is refused as such, and works once there is room', { skip: !mayMount }, async () => {
  const paths = smallDisk(4 * mib)
  const filler = fill(paths)
  using _owner = ownState(paths)
  assert.throws(() => ownState(paths), { code: 'state_in_use' })
  for (let n = 0; n < 2; n++) await assert.rejects(openStore(paths), { code: 'no_space' })
  assert.deepEqual(readdirSync(paths.state).filter((name) => !name.startsWith('.')).sort(), ['filler', 'owner.db', 'pyro.db'])
  rmSync(filler)
  const { store, recovered } = await openStore(paths)
  assert.equal(recovered, undefined)
  store.insertSandbox(sandbox('a1'))
  store.close()
})

verifies('store.full-disk', 'a damaged database on a full disk is found again once there is room', { skip: !mayMount }, async () => {
  const paths = smallDisk(4 * mib)
  makeDirectory(paths, sandbox('a1'))
  writeFileSync(paths.store, 'text')
  const filler = fill(paths)
  await assert.rejects(openStore(paths), { code: 'no_space' })
  rmSync(filler)
  const { store, recovered } = await openStore(paths)
  assert.deepEqual(recovered?.found, ['a1'])
  store.close()
})

verifies('store.full-disk', 'a lock on a disk that holds no more files is refused as such', { skip: !mayMount }, () => {
  const paths = smallDisk(4 * mib)
  const files: string[] = []
  assert.throws(
    () => {
      for (let n = 0; ; n++) {
        const path = join(paths.state, `f${n}`)
        writeFileSync(path, '')
        files.push(path)
      }
    },
    { code: 'ENOSPC' },
  )
  assert.throws(() => ownState(paths), { code: 'no_space' })
  rmSync(files[0] ?? '')
  ownState(paths)[Symbol.dispose]()
})

verifies('store.full-disk', 'a record file on a full disk stays the old one', { skip: !mayMount }, () => {
  const paths = smallDisk(4 * mib)
  const directory = makeDirectory(paths, sandbox('a1'))
  fill(paths)
  assert.throws(() => writeRecordFile(paths, sandbox('a1', { name: 'x'.repeat(10_000) })), { code: 'ENOSPC' })
  assert.deepEqual(readdirSync(directory), ['record.json'])
})

/** What `openStore` says of a state directory to somebody without root's ways. */
async function refusal(paths: Paths): Promise<unknown> {
  const opening = child(
    `import { openStore } from '@/store/open.ts'
    try { (await openStore(${JSON.stringify(paths)})).store.setMeta('a', 'b'); console.log('null') } catch (error) { console.log(JSON.stringify([error.code, error.message])) }`,
    ...withoutPrivilege(),
  )
  return JSON.parse(await line(opening))
}

verifies('store.not-writable', 'records in a read-only directory, in a read-only file or behind a directory are refused by name', async () => {
  const paths = temporaryState()
  chmodSync(paths.state, 0o500)
  assert.deepEqual(await refusal(paths), ['not_writable', `cannot write: ${paths.store}`])
  chmodSync(paths.state, 0o700)
  ;(await openStore(paths)).store.close()
  chmodSync(paths.state, 0o500)
  assert.deepEqual(await refusal(paths), ['not_writable', `cannot write: ${paths.store}`])
  chmodSync(paths.state, 0o700)
  for (const mode of [0o000, 0o400]) {
    chmodSync(paths.store, mode)
    assert.deepEqual(await refusal(paths), ['not_writable', `cannot write: ${paths.store}`])
  }
  rmSync(paths.store)
  mkdirSync(paths.store)
  assert.deepEqual(await refusal(paths), ['not_writable', `cannot write: ${paths.store} is a directory`])
})

verifies('store.not-writable', 'a damaged database in a read-only directory stays where it is', async () => {
  const paths = temporaryState()
  writeFileSync(paths.store, 'text')
  chmodSync(paths.state, 0o500)
  assert.deepEqual((await refusal(paths) as string[])[0], 'not_writable')
  chmodSync(paths.state, 0o700)
  assert.deepEqual(readdirSync(paths.state), ['pyro.db'])
})
