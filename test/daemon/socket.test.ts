import assert from 'node:assert/strict'
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { collect } from '../behaviours/command-line.ts'
import { until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { daemonHome, type DaemonHome, otherProcess } from './daemon-home.ts'

const list = 'console.log(JSON.stringify(await client.call("workspace_list", {}).catch(({ code, message, hint }) => ({ code, message, hint }))))'

/** Something else at the place of the daemon's socket. */
async function foreign(home: DaemonHome, server: Server): Promise<AsyncDisposable> {
  mkdirSync(dirname(home.engine.paths.daemonSocket), { recursive: true, mode: 0o700 })
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})))
  await new Promise<void>((listening) => server.listen(home.engine.paths.daemonSocket, listening))
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((closed) => server.close(closed))
    },
  }
}

const listeners: Record<string, () => Server> = {
  'speaks garbage': () => createServer((socket) => void socket.write('\0\x01 go away\n')),
  'speaks HTTP': () => createHttpServer((_, response) => void response.end('hello')),
  'says nothing': () => createServer(() => {}),
  'closes at once': () => createServer((socket) => void socket.destroy()),
}

for (const [what, make] of Object.entries(listeners)) {
  verifies('daemon.foreign', `a listener that ${what} at the place of the socket is told as such`, async () => {
    const home = daemonHome()
    await using _server = await foreign(home, make())
    const refused = { code: 'daemon_unreachable', message: new RegExp(`${home.engine.paths.daemonSocket} is held by something else`), hint: /XDG_RUNTIME_DIR/ }
    await assert.rejects(home.client().call('workspace_list', {}), refused)
    await assert.rejects(home.client().call('workspace_exec', { workspace_id: 'w', command: 'true' }), refused)
    assert.equal(existsSync(home.engine.paths.daemonLog), false)
  })
}

const things: Record<string, (path: string) => void> = {
  file: (path) => writeFileSync(path, 'mine'),
  directory: (path) => mkdirSync(path),
  'dangling link': (path) => symlinkSync('/nowhere/to/be/found', path),
}

for (const [what, make] of Object.entries(things)) {
  verifies('daemon.foreign', `a ${what} at the place of the socket is refused and stays`, async () => {
    const home = daemonHome()
    const { daemonSocket } = home.engine.paths
    mkdirSync(dirname(daemonSocket), { recursive: true, mode: 0o700 })
    make(daemonSocket)
    const before = lstatSync(daemonSocket)
    await assert.rejects(home.client().call('workspace_list', {}), { code: 'daemon_unreachable', message: /not a socket/ })
    assert.equal(lstatSync(daemonSocket).ino, before.ino)
  })
}

verifies('daemon.foreign', 'the socket that a killed daemon left is replaced', async () => {
  const home = daemonHome()
  const client = home.client()
  const { count: killed } = await client.call('workspace_list', {})
  process.kill(killed, 'SIGKILL')
  await until('its end', () => !existsSync(`/proc/${killed}`))
  assert.ok(existsSync(home.engine.paths.daemonSocket))
  assert.notEqual((await client.call('workspace_list', {})).count, killed)
})

verifies('daemon.leaves', 'a daemon whose socket was taken away leaves for the next', async () => {
  const home = daemonHome()
  const { count: first } = await home.client().call('workspace_list', {})
  rmSync(dirname(home.engine.paths.daemonSocket), { recursive: true })
  const { count: second } = await home.client().call('workspace_list', {})
  assert.notEqual(first, second)
  await until('the end of the first', () => !existsSync(`/proc/${first}`) || /Z/.test(stateOf(first)))
  assert.equal((await home.client().call('workspace_list', {})).count, second)
})

function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.charAt(stat.lastIndexOf(')') + 2)
}

for (const mode of [0o755, 0o710, 0o777]) {
  verifies('daemon.private', `a socket directory of mode ${mode.toString(8)} is refused, with what to do`, async () => {
    const home = daemonHome()
    const directory = dirname(home.engine.paths.daemonSocket)
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    chmodSync(directory, mode)
    const refused = { code: 'daemon_unreachable', message: new RegExp(`${directory} has mode 0${mode.toString(8)}`), hint: new RegExp(`chmod 700 '${directory}'`) }
    await assert.rejects(home.client().call('workspace_list', {}), refused)
    chmodSync(directory, 0o700)
    await home.client().call('workspace_list', {})
    chmodSync(directory, mode)
    await assert.rejects(home.client().call('workspace_list', {}), refused)
    chmodSync(directory, 0o700)
  })
}

verifies('daemon.private', 'a directory above it into which others can write is refused', async () => {
  const home = daemonHome()
  const above = dirname(dirname(home.engine.paths.daemonSocket))
  mkdirSync(above, { recursive: true, mode: 0o700 })
  chmodSync(above, 0o777)
  await assert.rejects(home.client().call('workspace_list', {}), { code: 'daemon_unreachable', message: /has mode 0777/ })
})

verifies('daemon.private', 'a link in the place of the socket directory is refused', async () => {
  const home = daemonHome()
  const directory = dirname(home.engine.paths.daemonSocket)
  mkdirSync(dirname(directory), { recursive: true, mode: 0o700 })
  symlinkSync(home.directory, directory)
  await assert.rejects(home.client().call('workspace_list', {}), { code: 'daemon_unreachable', message: /is not a directory/ })
})

const notRoot = process.getuid?.() !== 0 && 'only root can be another user'

verifies('daemon.private', "another user's socket directory is refused", { skip: notRoot }, async () => {
  const home = daemonHome()
  const directory = dirname(home.engine.paths.daemonSocket)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  chownSync(directory, 65_534, 65_534)
  await assert.rejects(home.client().call('workspace_list', {}), { code: 'daemon_unreachable', message: /belongs to user 65534, and you are user 0/ })
  chownSync(directory, 0, 0)
})

verifies('daemon.users', 'two users have a daemon each, and neither reaches the other', { skip: notRoot }, async () => {
  const ours = daemonHome()
  const { count: first } = await ours.client().call('workspace_list', {})
  const directory = mkdtempSync(join(tmpdir(), 'pyro-user-'))
  chownSync(directory, 65_534, 65_534)
  const theirs = daemonHome({ XDG_STATE_HOME: directory, XDG_RUNTIME_DIR: directory, HOME: directory })
  try {
    const as = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--']
    const run = async (env: NodeJS.ProcessEnv) => JSON.parse((await collect(otherProcess({ ...theirs, env }, list, { through: as }))).stdout.toString()) as { count?: number; code?: string }
    const { count: second } = await run(theirs.env)
    assert.ok(second && second !== first)
    assert.equal(lstatSync(`/proc/${second}`).uid, 65_534)
    const { code } = await run({ ...theirs.env, XDG_STATE_HOME: ours.directory, XDG_RUNTIME_DIR: ours.directory })
    assert.match(code ?? '', /^(daemon_unreachable|not_writable)$/)
  } finally {
    await theirs.machines.disposeAsync()
    rmSync(directory, { recursive: true, force: true })
  }
})
