import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { pyro, startPyro } from '../behaviours/command-line.ts'
import { temporaryHome, until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { firstLine } from './daemon-home.ts'

interface Status {
  running: boolean
  pid: number
  build: string
  workspaces: number
  machines: object
}

async function stdout(home: { env: NodeJS.ProcessEnv }, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await pyro(home, args)
  assert.deepEqual([code, stderr.toString()], [0, ''])
  return stdout.toString()
}

verifies(['daemon.commands', 'daemon.leaves'], 'the first command that needs it starts the daemon; status, stop and logs tell of it', async () => {
  const home = temporaryHome({ PYRO_DAEMON_IDLE_SECONDS: '60' })
  home.machines.defer(async () => void (await pyro(home, ['daemon', 'stop'])))
  assert.equal((JSON.parse(await stdout(home, 'daemon', 'status', '--json')) as Status).running, false)
  assert.match(await stdout(home, 'daemon', 'status'), /^Daemon: not running/)
  assert.equal(await stdout(home, 'daemon', 'stop'), 'The daemon is not running.\n')
  assert.equal(await stdout(home, 'workspace', 'list'), 'No workspaces.\n')
  const status = JSON.parse(await stdout(home, 'daemon', 'status', '--json')) as Status
  assert.deepEqual([status.running, status.workspaces, status.machines], [true, 0, { running: 0, paused: 0, warm: 0 }])
  assert.match(await stdout(home, 'daemon', 'status'), new RegExp(`^Daemon: running, process ${status.pid}\nVersion: \\S+ \\(build ${status.build}\\)\n`))
  assert.match(await stdout(home, 'daemon', 'logs', '--lines', '1'), new RegExp(`^\\S+ ${status.pid} call name=workspace_list outcome=done ms=\\d+\n$`))
  assert.deepEqual(JSON.parse(await stdout(home, 'daemon', 'stop', '--json')), { stopped: true })
  assert.equal((JSON.parse(await stdout(home, 'daemon', 'status', '--json')) as Status).running, false)
  assert.match(await stdout(home, 'daemon', 'logs'), /leaving why=it-was-asked-to\n.* left\n$/)
})

verifies('daemon.commands', 'logs -f goes on with what is added until it is interrupted', async () => {
  const home = temporaryHome()
  await pyro(home, ['workspace', 'list'])
  home.machines.defer(async () => void (await pyro(home, ['daemon', 'stop'])))
  const following = startPyro(home, ['daemon', 'logs', '-f', '--lines', '1'])
  assert.match(await firstLine(following), /workspace_list/)
  let seen = ''
  following.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
  const ended = new Promise((done) => following.once('close', done))
  await until('what is added', () => {
    if (!seen) appendFileSync(home.engine.paths.daemonLog, 'something\n')
    return seen.startsWith('something\n')
  })
  following.kill('SIGINT')
  assert.equal(await ended, 130)
})

verifies('daemon.one', 'one that is served in the foreground is the daemon, and a second one is refused', async () => {
  const home = temporaryHome({ PYRO_DAEMON_IDLE_SECONDS: '60' })
  const serving = startPyro(home, ['daemon', 'serve'])
  const ended = new Promise((done) => serving.once('close', done))
  await until('it to listen', async () => (JSON.parse(await stdout(home, 'daemon', 'status', '--json')) as Status).running)
  const second = await pyro(home, ['daemon', 'serve'])
  assert.equal(second.code, 1)
  assert.match(second.stderr.toString(), /^\[error\] a daemon runs already\n\[hint\] .*pyro daemon status/)
  await stdout(home, 'daemon', 'stop')
  assert.equal(await ended, 0)
})
