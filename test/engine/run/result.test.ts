import assert from 'node:assert/strict'
import { run } from '../../../src/contract/run.ts'
import { PyroError } from '../../../src/contract/errors.ts'
import { runInVm } from '../../../src/engine/run.ts'
import { Capture } from '../../../src/engine/machine/capture.ts'
import { environment, remains, temporaryHome } from '../../behaviours/home.ts'
import { verifies } from '../../behaviours/promises.ts'

const home = temporaryHome()
const MiB = 1024 * 1024

verifies('run.capped-result', 'more than 1 MiB is cut in the result, counted, and passed on whole', async () => {
  let passed = 0
  const result = run.output.strict().parse(
    await runInVm(home.engine, { environment, command: 'head -c 3000000 /dev/zero | tr "\\0" x; head -c 1048576 /dev/zero | tr "\\0" y >&2' }, { onOutput: (_, data) => void (passed += data.length) }),
  )
  assert.deepEqual([result.stdout_bytes, result.stdout_truncated, result.stdout], [3_000_000, true, 'x'.repeat(MiB)])
  assert.deepEqual([result.stderr_bytes, result.stderr_truncated, result.stderr], [MiB, false, 'y'.repeat(MiB)])
  assert.equal(passed, 3_000_000 + MiB)
  assert.deepEqual(remains(home), [])
})

verifies('run.capped-result', 'a character that the limit cuts in two is left out, bytes that are none are replaced', () => {
  const capture = new Capture(4)
  capture.add(Buffer.from('abc€'))
  assert.deepEqual([capture.text(), capture.bytes, capture.truncated], ['abc', 6, true])
  const binary = new Capture(4)
  binary.add(Buffer.from([0x61, 0xff, 0x62]))
  assert.deepEqual([binary.text(), binary.bytes, binary.truncated], ['a\ufffdb', 3, false])
})

verifies(['life.interrupt', 'life.no-leftovers'], 'a caller who gives up at any phase gets its own reason and leaves nothing', async () => {
  for (const moment of ['create', 'start', 'execute', 'output']) {
    const patience = new AbortController()
    const reason = new Error(`enough of ${moment}`)
    const running = runInVm(home.engine, { environment, command: 'echo up; sleep 1000' }, {
      signal: patience.signal,
      onPhase: (phase) => phase === moment && patience.abort(reason),
      onOutput: () => patience.abort(reason),
    })
    await assert.rejects(running, reason)
    assert.deepEqual(remains(home), [], moment)
  }
})

verifies('life.no-leftovers', 'a reader that fails fails the run, and leaves nothing', async () => {
  const broken = new Error('the reader broke')
  await assert.rejects(
    runInVm(home.engine, { environment, command: 'echo up; sleep 1000' }, {
      onOutput: () => {
        throw broken
      },
    }),
    (error: Error) => error === broken || error.cause === broken,
  )
  assert.deepEqual(remains(home), [])
})

verifies('life.expiry', 'a machine whose time to live is over ends the run with an error', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const running = runInVm(home.engine, { environment, command: 'echo up; sleep 1000', ttl_seconds: 60 }, { onOutput: () => t.mock.timers.tick(60_000) })
  await assert.rejects(running, (error: PyroError) => {
    assert.equal(error.code, 'expired')
    assert.match(error.message, /time to live of 60 s/)
    return true
  })
  t.mock.timers.reset()
  assert.deepEqual(remains(home), [])
})

verifies('errors.form', 'every error has a hint, whatever was thrown', () => {
  for (const thrown of [new Error('x'), 'text', undefined, null, Object.assign(new Error('x'), { code: 'ENOSPC' }), new DOMException('gone', 'AbortError'), new PyroError('guest_failed', 'x')]) {
    const error = PyroError.from(thrown)
    assert.ok(error.hint.length > 0)
    assert.doesNotMatch(error.message, /\n/)
  }
})
