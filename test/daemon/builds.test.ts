import assert from 'node:assert/strict'
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ProgressEvent } from '../../src/contract/progress.ts'
import { daemonStatus, stopDaemon } from '../../src/daemon/client/control.ts'
import { isNewerBuild } from '../../src/host/build.ts'
import { until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { daemonHome, request } from './daemon-home.ts'

const [older, newer] = ['1000-aaaaaaaa', '2000-bbbbbbbb']

verifies('daemon.hand-over', 'a newer client gets a daemon of its build; a stream goes on with it; the older client is served by it', async () => {
  const home = daemonHome()
  const before = home.client({ build: older, env: { STAND_IN_BUILD: older } })
  const output = join(home.directory, 'output')
  writeFileSync(output, 'one\n')
  let seen = ''
  const stream = before.call('workspace_exec', { workspace_id: 'w', command: `tail ${output}` }, { onOutput: (_, data) => void (seen += Buffer.from(data).toString()) })
  await until('the stream', () => seen === 'one\n')
  const first = await home.pid()
  const progress: ProgressEvent[] = []
  const after = home.client({ build: newer, env: { STAND_IN_BUILD: newer } })
  await after.call('vm_create', { environment: 'x' }, { progress: (event) => void progress.push(event) })
  assert.deepEqual(progress.map(({ phase }) => phase), ['daemon', 'seed'])
  assert.equal((await daemonStatus(home.engine.paths))?.build, newer)
  assert.notEqual(await home.pid(), first)
  appendFileSync(output, 'two\nend\n')
  await stream
  assert.equal(seen, 'one\ntwo\nend\n')
  assert.equal((await before.call('workspace_list', {})).count, await home.pid())
  assert.equal(home.journal().filter((line) => line === 'begun workspace_exec').length, 1)
})

verifies('daemon.hand-over', 'of many newer clients at once each is answered, and one daemon was replaced by one', async () => {
  const home = daemonHome()
  await home.client({ build: older, env: { STAND_IN_BUILD: older } }).call('workspace_list', {})
  const clients = Array.from({ length: 12 }, () => home.client({ build: newer, env: { STAND_IN_BUILD: newer } }))
  const pids = await Promise.all(clients.map(async (client) => (await client.call('workspace_list', {})).count))
  assert.equal(new Set(pids).size, 1)
  assert.equal(home.journal().filter((line) => line === 'opened').length, 2)
})

verifies('daemon.hand-over', 'a call in progress is finished before its daemon hands over', async () => {
  const home = daemonHome()
  const before = home.client({ build: older, env: { STAND_IN_BUILD: older } })
  const slow = before.call('vm_create', { environment: 'x', mem_mib: 1500 })
  await until('the call', () => home.journal().includes('begun vm_create'))
  const after = home.client({ build: newer, env: { STAND_IN_BUILD: newer } }).call('workspace_list', {})
  assert.deepEqual(await slow, { vm_id: 'made' })
  await after
  assert.ok(home.journal().indexOf('ended vm_create') < home.journal().indexOf('let go'))
})

verifies('daemon.older', 'an older build that speaks another protocol is told so, and nothing is done', async () => {
  const home = daemonHome()
  await home.client().call('workspace_list', {})
  const { status, body } = await request(home, '/rpc/workspace_list', { headers: { 'x-pyro-protocol': '0', 'x-pyro-build': older, 'content-type': 'application/json' }, body: '{"json":{}}' })
  assert.equal(status, 426)
  assert.match(body, /does not speak the protocol.*use the newer pyro/)
  assert.equal(home.journal().filter((line) => line === 'begun workspace_list').length, 1)
})

verifies('daemon.older', 'of two builds the one of newer sources is the newer, and never each of the other', () => {
  assert.deepEqual([isNewerBuild(newer, older), isNewerBuild(older, newer), isNewerBuild(older, older)], [true, false, false])
  assert.deepEqual([isNewerBuild('900-ffffffff', '1000-00000000'), isNewerBuild('1000-b', '1000-a'), isNewerBuild('1000-a', '1000-b')], [false, true, false])
})

verifies('daemon.leaves', 'a stop lets calls finish and machines be; with machines it ends them first; without a daemon there is nothing to stop', async () => {
  const home = daemonHome()
  const { env, engine } = home
  const client = home.client()
  const slow = client.call('vm_create', { environment: 'x', mem_mib: 500 })
  await until('the call', () => home.journal().includes('begun vm_create'))
  assert.equal(await stopDaemon(engine.paths, env, { machines: false, force: false }), true)
  assert.deepEqual(await slow, { vm_id: 'made' })
  assert.deepEqual(home.journal().slice(-2), ['ended vm_create', 'let go'])
  assert.equal(await stopDaemon(engine.paths, env, { machines: false, force: false }), false)
  assert.equal(await daemonStatus(engine.paths), undefined)
  await client.call('workspace_list', {})
  assert.equal(await stopDaemon(engine.paths, env, { machines: true, force: false }), true)
  assert.deepEqual(home.journal().slice(-2), ['machines stopped', 'let go'])
})

verifies('daemon.leaves', 'a call that does not end is given up when its daemon leaves', async () => {
  const home = daemonHome()
  const call = home.client().call('workspace_stop', { workspace_id: 'w' })
  call.catch(() => {})
  await until('the call', () => home.journal().includes('waiting'))
  const stopped = stopDaemon(home.engine.paths, home.env, { machines: false, force: false })
  await assert.rejects(call, { code: 'daemon_failed', message: 'the daemon was asked to leave' })
  assert.equal(await stopped, true)
})

verifies('daemon.leaves', 'SIGTERM lets it leave as a stop does', async () => {
  const home = daemonHome()
  await home.client().call('workspace_list', {})
  process.kill(await home.pid(), 'SIGTERM')
  await until('its end', () => home.journal().at(-1) === 'let go')
  await home.client().call('workspace_list', {})
})

verifies('daemon.stopped', 'one that is stopped is ended by force', async () => {
  const home = daemonHome()
  const { count: pid } = await home.client().call('workspace_list', {})
  process.kill(pid, 'SIGSTOP')
  await assert.rejects(stopDaemon(home.engine.paths, home.env, { machines: false, force: false }), { code: 'daemon_unresponsive' })
  assert.equal(await stopDaemon(home.engine.paths, home.env, { machines: false, force: true }), true)
  assert.notEqual((await home.client().call('workspace_list', {})).count, pid)
})
