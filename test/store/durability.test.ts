import assert from 'node:assert/strict'
import { openStore } from '../../src/store/open.ts'
import { verifies } from '../behaviours/promises.ts'
import { child, command, sandbox, temporaryState } from './state.ts'

/** Writes without end and prints what it was promised. */
const writer = (paths: object) => `
  import { writeSync } from 'node:fs'
  import { ownState } from '@/store/lock.ts'
  import { openStore } from '@/store/open.ts'
  const paths = ${JSON.stringify(paths)}
  const lock = ownState(paths)
  const { store, recovered } = await openStore(paths)
  if (recovered) throw new Error(recovered.reason)
  const template = ${JSON.stringify({ sandbox: sandbox('a1'), command: command() })}
  for (;;) {
    const { sequence } = store.nextCommand('a1', { ...template.command, command: 'x'.repeat(3000) })
    writeSync(1, 'command ' + sequence + '\\n')
    store.endCommand({ sandboxId: 'a1', epoch: 0, sequence }, { state: 'ended', exitCode: sequence % 256, timedOut: false, durationMs: 1, stdoutBytes: 0, stderrBytes: 0 })
    writeSync(1, 'end ' + sequence + '\\n')
    const id = 's' + sequence
    store.transaction(() => {
      store.insertSandbox({ ...template.sandbox, id })
      store.insertMachine({ id: 'm' + sequence, sandboxId: id, kind: 'sandbox', vmm: 'qemu', createdAt: 1, details: {} })
      store.appendEvent(id, { kind: 'pair', recordedAt: 1, payload: {} })
    })
    writeSync(1, 'pair ' + sequence + '\\n')
    if (sequence % 3 === 0) {
      store.deleteSandbox(id)
      writeSync(1, 'deleted ' + sequence + '\\n')
    }
  }`

verifies(['store.durable', 'store.whole', 'state.one-owner'], 'what a writer told of is there after it was killed, and nothing is there by half', async () => {
  const paths = temporaryState()
  {
    using store = (await openStore(paths)).store
    store.insertSandbox(sandbox('a1'))
  }
  let told = 0
  for (let round = 0; round < 12; round++) {
    const { process: writing, lines, ended } = child(writer(paths))
    const said: string[] = []
    // After a number of lines that differs from round to round, then somewhere in the next write.
    const enough = 1 + round * 61
    const all = (async () => {
      for (let next = await lines.next(); !next.done; next = await lines.next()) {
        said.push(next.value)
        if (said.length === enough) writing.kill('SIGKILL')
      }
    })()
    const { stderr } = await ended
    await all
    assert.equal(stderr, '')
    assert.ok(said.length >= enough)
    told += said.length

    const { store, recovered } = await openStore(paths)
    assert.equal(recovered, undefined)
    const commands = new Map(store.commands('a1').map((row) => [row.sequence, row]))
    assert.deepEqual([...commands.keys()], Array.from({ length: commands.size }, (_, index) => index + 1))
    assert.equal(store.sandbox('a1')?.sequence, commands.size)
    const machines = new Set(store.machines().map(({ sandboxId }) => sandboxId))
    const pairs = new Set(store.sandboxes().map(({ id }) => id).filter((id) => id !== 'a1'))
    assert.deepEqual(machines, pairs)
    for (const id of pairs) assert.equal(store.events(id).length, 1, id)

    const deleted = new Set(said.filter((text) => text.startsWith('deleted ')).map((text) => text.slice('deleted '.length)))
    for (const text of said) {
      const [what, sequence = ''] = text.split(' ')
      if (what === 'command') assert.ok(commands.has(Number(sequence)), text)
      if (what === 'end') assert.equal(commands.get(Number(sequence))?.exitCode, Number(sequence) % 256, text)
      // One that the next write was about to delete may be gone.
      if (what === 'pair' && Number(sequence) % 3 !== 0) assert.ok(pairs.has(`s${sequence}`), text)
      if (what === 'deleted') assert.ok(!pairs.has(`s${sequence}`), text)
    }
    assert.ok([...pairs].every((id) => !deleted.has(id.slice(1))))
    store.close()
  }
  assert.ok(told > 4000, `${told} lines`)
})

verifies('state.one-owner', 'processes that write by turns lose none of each other', async () => {
  const paths = temporaryState()
  {
    using store = (await openStore(paths)).store
    store.insertSandbox(sandbox('a1'))
  }
  const turns = `
    import { ownState } from '@/store/lock.ts'
    import { openStore } from '@/store/open.ts'
    import { setImmediate as yielded } from 'node:timers/promises'
    const paths = ${JSON.stringify(paths)}
    for (let n = 0; n < 10; ) {
      let owned
      try { owned = ownState(paths) } catch (error) { if (error.code !== 'state_in_use') throw error }
      if (!owned) { await yielded(); continue }
      using lock = owned
      using store = (await openStore(paths)).store
      store.nextCommand('a1', ${JSON.stringify(command())})
      n++
    }`
  const ends = await Promise.all(Array.from({ length: 4 }, () => child(turns)).map(({ ended }) => ended))
  assert.deepEqual(ends, ends.map(() => ({ code: 0, stderr: '' })))
  using store = (await openStore(paths)).store
  assert.deepEqual([store.commands('a1').length, store.sandbox('a1')?.sequence], [40, 40])
})

verifies('state.one-owner', 'records that somebody has open cannot be opened a second time', async () => {
  const paths = temporaryState()
  using store = (await openStore(paths)).store
  store.setMeta('a', 'b')
  const second = child(`
    import { openStore } from '@/store/open.ts'
    try { await openStore(${JSON.stringify(paths)}) } catch (error) { console.log(error.code) }`)
  assert.equal((await second.lines.next()).value, 'state_in_use')
  assert.equal(store.meta('a'), 'b')
})
