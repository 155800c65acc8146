import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { PyroError } from '../../src/contract/errors.ts'
import { collect } from '../behaviours/command-line.ts'
import { until } from '../behaviours/home.ts'
import { withoutPrivilege } from '../behaviours/privilege.ts'
import { verifies } from '../behaviours/promises.ts'
import { daemonHome, firstLine, otherProcess } from './daemon-home.ts'

const list = 'console.log(JSON.stringify(await client.call("workspace_list", {}).catch(({ code, message, hint }) => ({ code, message, hint }))))'

verifies('daemon.one', 'of sixteen processes that start the daemon at once each is answered by the same one', async () => {
  const home = daemonHome()
  const ended = await Promise.all(Array.from({ length: 16 }, () => collect(otherProcess(home, list))))
  assert.deepEqual(ended.map(({ stderr }) => stderr.toString()).filter(Boolean), [])
  const pids = new Set(ended.map(({ stdout }) => (JSON.parse(stdout.toString()) as { count: number }).count))
  assert.deepEqual([pids.size, home.journal().filter((line) => line === 'opened').length], [1, 1])
})

verifies('daemon.apart', 'the daemon has a session of its own, / for a directory, a log for its output, and no other descriptor of its starter', async () => {
  const home = daemonHome()
  const { count: pid } = await home.client().call('workspace_list', {})
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const [, , , session, terminal] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  assert.deepEqual([Number(session), terminal], [pid, '0'])
  assert.equal(readlinkSync(`/proc/${pid}/cwd`), '/')
  assert.deepEqual(['0', '1', '2'].map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`)), ['/dev/null', home.engine.paths.daemonLog, home.engine.paths.daemonLog])
  assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^Umask:\s+0077$/m)
  assert.equal(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ''), 'pyro daemon')
  const own = readdirSync(`/proc/self/fd`).map((fd) => link(`/proc/self/fd/${fd}`)).filter((path) => /^(socket|pipe):/.test(path))
  const its = readdirSync(`/proc/${pid}/fd`).map((fd) => link(`/proc/${pid}/fd/${fd}`))
  assert.deepEqual(its.filter((path) => own.includes(path)), [])
  for (const path of [dirname(home.engine.paths.daemonSocket), home.engine.paths.daemonSocket, home.engine.paths.daemonLog]) assert.equal(statSync(path).mode & 0o077, 0, path)
})

function link(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

verifies('daemon.apart', 'the daemon lives on when the process group of its starter is killed', async () => {
  const home = daemonHome()
  const starter = otherProcess(home, `${list}\nawait new Promise(() => setInterval(() => {}, 1000))`, { detached: true })
  const { count: pid } = JSON.parse(await firstLine(starter)) as { count: number }
  process.kill(-(starter.pid ?? 0), 'SIGKILL')
  await once(starter, 'close')
  assert.equal((await home.client().call('workspace_list', {})).count, pid)
})

verifies('daemon.start-errors', 'a daemon that cannot open the state directory tells each caller why, and ends', async () => {
  const home = daemonHome({ STAND_IN_FAILURE: 'state_newer' })
  const client = home.client()
  const refused = (error: PyroError) => error.code === 'state_newer' && error.message === 'it does not open' && error.hint === 'open it'
  await Promise.all(Array.from({ length: 3 }, () => assert.rejects(client.call('workspace_list', {}), refused)))
  await assert.rejects(client.call('workspace_exec', { workspace_id: 'a', command: 'true' }), refused)
  await until('its end', () => / left$/m.test(home.log()))
})

verifies('daemon.start-errors', 'a state directory that cannot be written is named', async () => {
  const home = daemonHome()
  mkdirSync(home.engine.paths.state, { mode: 0o500 })
  const { stdout } = await collect(otherProcess(home, list, { through: withoutPrivilege() }))
  const { code, message, hint } = JSON.parse(stdout.toString()) as Record<string, string>
  assert.equal(code, 'not_writable')
  assert.match(message ?? '', new RegExp(home.engine.paths.state))
  assert.match(hint ?? '', /XDG_STATE_HOME/)
  chmodSync(home.engine.paths.state, 0o700)
})

verifies('daemon.start-errors', 'a bad value in its environment is named', async () => {
  const home = daemonHome({ PYRO_DAEMON_IDLE_SECONDS: 'soon' })
  await assert.rejects(home.client().call('workspace_list', {}), { code: 'invalid_argument', message: /PYRO_DAEMON_IDLE_SECONDS.*'soon'/ })
})

verifies('daemon.start-errors', 'a socket path that the kernel would refuse is refused by name', async () => {
  const home = daemonHome()
  const deep = `${home.directory}/${'x'.repeat(90)}`
  mkdirSync(deep)
  const { stdout } = await collect(otherProcess({ ...home, env: { ...home.env, XDG_RUNTIME_DIR: deep } }, list))
  const { code, message } = JSON.parse(stdout.toString()) as Record<string, string>
  assert.equal(code, 'path_too_long')
  assert.match(message ?? '', /x{90}.*107/)
})

verifies('daemon.idle', 'a daemon with nothing to do leaves, and calls that come as it goes are all answered', async () => {
  const home = daemonHome({ PYRO_DAEMON_IDLE_SECONDS: '0' })
  const client = home.client()
  const pids = new Set<number>()
  for (let i = 0; i < 8; i += 1) {
    const answers = await Promise.all(Array.from({ length: 4 }, () => client.call('workspace_list', {})))
    for (const { count } of answers) pids.add(count)
  }
  assert.ok(pids.size > 1)
  assert.equal(home.journal().filter((line) => line === 'begun workspace_list').length, 32)
  await until('the last one to leave', () => home.journal().filter((line) => line === 'let go').length === home.journal().filter((line) => line === 'opened').length)
})

verifies('daemon.idle', 'a daemon that has something to stay for stays', async () => {
  const home = daemonHome({ PYRO_DAEMON_IDLE_SECONDS: '0', STAND_IN_BUSY: '1' })
  const client = home.client()
  const { count } = await client.call('workspace_list', {})
  await client.call('vm_create', { environment: 'x', mem_mib: 300 })
  assert.equal((await client.call('workspace_list', {})).count, count)
})
