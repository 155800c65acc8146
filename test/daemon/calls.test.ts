import assert from 'node:assert/strict'
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { PyroError } from '../../src/contract/errors.ts'
import { until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { collect } from '../behaviours/command-line.ts'
import { daemonHome, firstLine, otherProcess } from './daemon-home.ts'

const exec = (command: string) => ({ workspace_id: 'w', command })

verifies('daemon.killed', 'a call whose daemon is killed fails, is not made again, and the next one is answered by another daemon', async () => {
  const home = daemonHome()
  const client = home.client()
  const call = client.call('workspace_stop', { workspace_id: 'w' })
  call.catch(() => {})
  await until('the call', () => home.journal().includes('waiting'))
  const killed = await home.pid()
  process.kill(killed, 'SIGKILL')
  await assert.rejects(call, { code: 'daemon_failed', message: /the daemon ended during workspace_stop/, hint: /pyro daemon logs/ })
  assert.notEqual((await client.call('workspace_list', {})).count, killed)
  assert.equal(home.journal().filter((line) => line === 'begun workspace_stop').length, 1)
})

verifies('daemon.killed', 'a streamed call that cannot be followed fails when its daemon is killed', async () => {
  const home = daemonHome()
  const call = home.client().call('vm_create', { environment: 'x', mem_mib: 60_000 }, { progress: () => {} })
  call.catch(() => {})
  await until('the call', () => home.journal().includes('begun vm_create'))
  process.kill(await home.pid(), 'SIGKILL')
  await assert.rejects(call, { code: 'daemon_failed' })
  assert.equal(home.journal().filter((line) => line.startsWith('begun')).length, 1)
})

verifies('daemon.follows', 'the stream of a command goes on where it was cut, through the deaths of two daemons', async () => {
  const home = daemonHome()
  const output = join(home.directory, 'output')
  writeFileSync(output, 'one\n')
  let seen = ''
  let starts = 0
  const call = home.client().call('workspace_exec', exec(`tail ${output}`), { onOutput: (_, data) => void (seen += Buffer.from(data).toString()), onStarted: () => void (starts += 1) })
  for (const line of ['two', 'three']) {
    await until('the output so far', () => seen.endsWith(line === 'two' ? 'one\n' : 'two\n'))
    process.kill(await home.pid(), 'SIGKILL')
    appendFileSync(output, `${line}\n`)
  }
  appendFileSync(output, 'end\n')
  const { input } = (await call) as unknown as { input: Record<string, unknown> }
  assert.deepEqual([seen, starts], ['one\ntwo\nthree\nend\n', 1])
  assert.deepEqual([input['workspace_id'], input['sequence']], ['w', 1])
  assert.equal(home.journal().filter((line) => line === 'begun workspace_exec').length, 1)
})

verifies('daemon.follows', 'a command whose output nobody wants as it comes is followed, too', async () => {
  const home = daemonHome()
  const output = join(home.directory, 'output')
  writeFileSync(output, 'one\n')
  const client = home.client()
  let call: ReturnType<typeof client.call<'workspace_exec'>> | undefined
  await new Promise<void>((started) => (call = client.call('workspace_exec', exec(`tail ${output}`), { onStarted: () => started() })))
  process.kill(await home.pid(), 'SIGKILL')
  appendFileSync(output, 'end\n')
  assert.equal((await call)?.sequence, 1)
})

verifies('daemon.follows', 'a command that still reads cannot be followed: it is said where it is found', async () => {
  const home = daemonHome()
  let seen = ''
  async function* endless() {
    yield Buffer.from('a')
    await new Promise(() => {})
  }
  const call = home.client().call('workspace_exec', { ...exec('echo'), interactive: true }, { stdin: endless(), onOutput: (_, data) => void (seen += Buffer.from(data).toString()) })
  call.catch(() => {})
  await until('its echo', () => seen === 'a')
  process.kill(await home.pid(), 'SIGKILL')
  await assert.rejects(call, { code: 'daemon_failed', message: /goes on as number 1/, hint: /pyro workspace logs w --sequence 1/ })
})

verifies('daemon.cancel', 'an aborted call is given up on both sides at once', async () => {
  const home = daemonHome()
  const client = home.client()
  for (const name of ['workspace_stop', 'workspace_exec'] as const) {
    const abort = new AbortController()
    const call = client.call(name, exec('wait') as never, { signal: abort.signal })
    call.catch(() => {})
    await until('the call', () => home.journal().at(-1) === 'waiting')
    abort.abort()
    await assert.rejects(call, { code: 'canceled' })
    await until('its end', () => home.journal().includes(`ended ${name} aborted`))
  }
})

verifies('daemon.cancel', 'a call of a client that is closed, or that was aborted before, is not made', async () => {
  const home = daemonHome()
  const client = home.client()
  await assert.rejects(client.call('workspace_list', {}, { signal: AbortSignal.abort() }), { code: 'canceled' })
  const call = client.call('workspace_stop', { workspace_id: 'w' })
  call.catch(() => {})
  await until('the call', () => home.journal().includes('waiting'))
  await client[Symbol.asyncDispose]()
  await assert.rejects(call, { code: 'canceled', message: 'the client was closed' })
  await until('its end', () => home.journal().includes('ended workspace_stop aborted'))
})

verifies('daemon.cancel', 'a client that is killed in mid-stream cancels its command', async () => {
  const home = daemonHome()
  const child = otherProcess(home, `let said = false\nawait client.call('workspace_exec', { workspace_id: 'w', command: 'flood' }, { onOutput: () => { if (!said) console.log('flooded'); said = true } })`)
  await firstLine(child)
  child.kill('SIGKILL')
  await until('its end', () => home.journal().includes('ended workspace_exec aborted'))
})

verifies('daemon.back-pressure', 'a reader that stops reading stops the command, with little in memory', async () => {
  const home = daemonHome()
  const abort = new AbortController()
  let received = 0
  const wanted = 96 * 1024 ** 2
  let stopped = () => {}
  const enough = new Promise<void>((resolve) => (stopped = resolve))
  const call = home.client().call('workspace_exec', exec('flood'), {
    signal: abort.signal,
    async onOutput(_, data) {
      received += data.length
      if (received < wanted) return
      stopped()
      await new Promise(() => {})
    },
  })
  call.catch(() => {})
  await enough
  await until('the daemon to stand still', async () => {
    const before = home.journal().length
    await delay(300)
    return before === home.journal().length
  })
  const floods = home.journal().filter((line) => line.startsWith('flood')).map((line) => line.split(' ').slice(1).map(Number))
  const [[, first = 0] = [], [sent = 0, last = 0] = []] = [floods[1], floods.at(-1)]
  assert.ok(sent <= wanted + 16 * 1024 ** 2, `${sent} bytes were sent`)
  assert.ok(last - first < 64 * 1024 ** 2, `grew by ${last - first} bytes`)
  abort.abort()
})

verifies('daemon.back-pressure', 'input and output of a command pass in full, in order, whatever their size', async () => {
  const home = daemonHome()
  const chunk = Buffer.alloc(256 * 1024)
  const size = 64 * 1024 ** 2
  async function* numbers() {
    for (let at = 0; at < size; at += chunk.length) {
      const data = Buffer.from(chunk)
      for (let i = 0; i < data.length; i += 4) data.writeUInt32BE((at + i) >>> 0, i)
      yield data
    }
  }
  let received = 0
  await home.client().call('workspace_exec', { ...exec('echo'), interactive: true }, {
    stdin: numbers(),
    onOutput(_, data) {
      const view = Buffer.from(data.buffer, data.byteOffset, data.length)
      const skew = (4 - (received % 4)) % 4
      if (view.length >= skew + 4) assert.equal(view.readUInt32BE(skew), received + skew)
      received += view.length
    },
  })
  assert.equal(received, size)
})

verifies('daemon.many', 'a thousand calls at once are all answered by one daemon', async () => {
  const home = daemonHome()
  const client = home.client()
  const answers = await Promise.all(
    Array.from({ length: 1000 }, (_, i) => (i % 2 ? client.call('workspace_list', {}).then(({ count }) => count) : client.call('workspace_exec', exec('variable HOME')).then(() => home.pid()))),
  )
  assert.equal(new Set(answers).size, 1)
})

verifies('daemon.errors', "a handler's error arrives as it was thrown; a fault arrives as one, and only its place is in the log", async () => {
  const home = daemonHome()
  const client = home.client()
  await assert.rejects(client.call('workspace_update', { workspace_id: 'hidden' }), { name: 'PyroError', code: 'not_found', message: 'no workspace hidden', hint: 'look', details: { a: 1 } })
  await assert.rejects(client.call('workspace_start', { workspace_id: 'hidden' }), { code: 'internal', message: 'a fault with hidden' })
  await assert.rejects(client.call('workspace_start', { workspace_id: 'hidden' }, { progress: () => {} }), { code: 'internal', message: 'a fault with hidden' })
  assert.match(home.log(), /fault call=workspace_start at=TypeError at carryOut/)
  assert.doesNotMatch(home.log(), /hidden/)
})

verifies('daemon.caller', "PYRO_VMM is each caller's own, and a relative seed is below the caller's directory", async () => {
  const home = daemonHome({ PYRO_VMM: 'starter' })
  const vmm = async (value: string | undefined) => ((await home.client({ env: { PYRO_VMM: value } }).call('workspace_status', { workspace_id: 'w' })) as unknown as { vmm: string }).vmm
  assert.deepEqual([await vmm('starter'), await vmm('qemu-kvm'), await vmm('ü b')], ['starter', 'qemu-kvm', 'ü b'])
  const { input } = (await home.client().call('workspace_status', { workspace_id: 'w', seed_path: 'src' } as never)) as unknown as { input: { seed_path: string } }
  assert.equal(input.seed_path, join(process.cwd(), 'src'))
})

verifies('daemon.stopped', 'a stopped daemon is told as such before and during a call, and goes on when it is let', async () => {
  const home = daemonHome()
  const client = home.client()
  const waiting = client.call('workspace_stop', { workspace_id: 'w' })
  waiting.catch(() => {})
  await until('the call', () => home.journal().includes('waiting'))
  const pid = await home.pid()
  process.kill(pid, 'SIGSTOP')
  const refused = { code: 'daemon_unresponsive', message: new RegExp(`process ${pid}.* is stopped`), hint: new RegExp(`kill -CONT ${pid}.*pyro daemon stop --force`) }
  await assert.rejects(home.client().call('workspace_list', {}), refused)
  await assert.rejects(waiting, refused)
  process.kill(pid, 'SIGCONT')
  assert.equal((await home.client().call('workspace_list', {})).count, pid)
})

verifies('daemon.stopped', 'a daemon that hangs is told as such', async () => {
  const home = daemonHome()
  const spinning = home.client().call('workspace_exec', exec('spin'))
  spinning.catch(() => {})
  await until('the call', () => home.journal().includes('started'))
  const pid = await home.pid()
  const said = (error: PyroError) => error.code === 'daemon_unresponsive' && error.message.includes(`process ${pid}`) && /--force/.test(error.hint)
  await Promise.all([assert.rejects(home.client().call('workspace_list', {}), said), assert.rejects(spinning, said)])
})

verifies('daemon.log', 'the log stays within its bound', async () => {
  const home = daemonHome()
  const { count: pid } = await home.client().call('workspace_list', {})
  appendFileSync(home.engine.paths.daemonLog, `${'x'.repeat(1023)}\n`.repeat(1025))
  await home.client().call('workspace_list', {})
  await until('it to be cut', () => home.log().length < 4096)
  assert.match(home.log(), new RegExp(` ${pid} call name=workspace_list outcome=done`))
})

verifies('daemon.log', 'what a caller gave is in no log, no title and no file beside it', async () => {
  const home = daemonHome()
  const secret = 'hunter2-in-the-clear'
  const client = home.client()
  await client.call('workspace_exec', { workspace_id: 'w', command: 'variable HOME', env: { TOKEN: secret } })
  await client.call('workspace_status', { workspace_id: secret })
  await client.call('workspace_start', { workspace_id: secret }).catch(() => {})
  const { stdout } = await collect(otherProcess(home, `console.log((await import('node:child_process')).execFileSync('grep', ['-rlF', '${secret.slice(0, 7)}' + '${secret.slice(7)}', '${home.directory}', '/proc/${await home.pid()}/cmdline']).toString())`))
  assert.equal(stdout.toString().trim(), '')
})
