import assert from 'node:assert/strict'
import { cpSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from '../../src/daemon/client/client.ts'
import { stopDaemon } from '../../src/daemon/client/control.ts'
import { daemonPid } from '../../src/daemon/client/diagnose.ts'
import { resolvePaths } from '../../src/host/paths.ts'
import { ownCache } from '../behaviours/cache.ts'
import { pyro } from '../behaviours/command-line.ts'
import { environment, processesUsing, temporaryHome, until } from '../behaviours/home.ts'
import { withoutPrivilege } from '../behaviours/privilege.ts'
import { verifies } from '../behaviours/promises.ts'
import { assertRefused } from '../behaviours/refusal.ts'
import { newWorkspace, pyroJson } from '../cli/workspace-home.ts'

const small = ['--mem-mib', '256']
/** `PYRO_TEST_OPERATIONS` asks for everything. */
const many = process.env['PYRO_TEST_OPERATIONS'] ? 50 : 10

function luckless(env: NodeJS.ProcessEnv = {}) {
  const home = temporaryHome({ PYRO_WARM_FORKS: '0', ...env })
  const { paths } = home.engine
  home.machines.defer(async () => void (await stopDaemon(paths, home.env, { machines: true, force: true })))
  const client = home.machines.use(createClient(paths, home.env))
  return {
    home,
    paths,
    client,
    run: async (id: string, command: string) => (await client.call('workspace_exec', { workspace_id: id, command })).stdout,
    status: (id: string) => client.call('workspace_status', { workspace_id: id }),
    stopped: (force = false) => stopDaemon(paths, home.env, { machines: false, force }),
  }
}

/** Changes the records behind the back of a daemon that is not there. */
function records(store: string, sql: string): void {
  const database = new DatabaseSync(store)
  database.exec(sql)
  database.close()
}

function layoutOf(store: string): number {
  const database = new DatabaseSync(store)
  const { user_version: layout } = database.prepare('PRAGMA user_version').get() as { user_version: number }
  database.close()
  return layout
}

verifies('luck.read-only', 'a state directory that cannot be written is named by every command, and nothing is made', async () => {
  const { home, paths } = luckless()
  mkdirSync(paths.state, { mode: 0o500, recursive: true })
  for (const args of [['create', environment], ['list'], ['exec', '0123456789ab', '--', 'true']]) {
    await assertRefused(home, ['workspace', ...args], { code: 'not_writable', error: /cannot write: .*pyro-mcp/, hint: /XDG_STATE_HOME/ }, { through: withoutPrivilege() })
  }
  assert.equal(await daemonPid(paths), undefined)
  assert.deepEqual(readdirSync(paths.state).filter((name) => name !== 'd' && name !== 'm'), [])
  rmSync(paths.state, { recursive: true })
})

verifies('luck.newer', 'the records of a newer pyro are refused and left as they are, and the machine goes on', async () => {
  const { home, paths, run, stopped } = luckless()
  const id = await newWorkspace(home, ...small)
  const pid = (await run(id, 'sleep 1000 >/dev/null 2>&1 & echo $!')).trim()
  await stopped()
  const layout = layoutOf(paths.store)
  records(paths.store, 'PRAGMA user_version = 99')
  const before = readFileSync(paths.store)
  await assertRefused(home, ['workspace', 'list'], { code: 'state_newer', error: /written by a newer pyro \(layout 99/, hint: /use that version of pyro|XDG_STATE_HOME/ })
  await assertRefused(home, ['workspace', 'exec', id, '--', 'true'], { code: 'state_newer', error: /newer pyro/, hint: /./ })
  assert.deepEqual(readFileSync(paths.store), before)
  await until('the daemon to leave', async () => (await daemonPid(paths)) === undefined)
  records(paths.store, `PRAGMA user_version = ${layout}`)
  assert.equal(await run(id, `kill -0 ${pid} && echo alive`), 'alive\n')
})

verifies('luck.damaged', 'workspaces are found again with all that is in them, and whoever lists them is told where the damaged records are', async () => {
  const { home, paths, client, run, stopped } = luckless()
  const id = await newWorkspace(home, ...small, '--name', 'dear')
  const gone = await newWorkspace(home, ...small)
  await client.call('workspace_stop', { workspace_id: gone })
  await run(id, 'echo never flushed >file')
  await stopped(true)
  rmSync(join(paths.workspaces, gone, 'record.json'))
  writeFileSync(paths.store, 'not a database\n'.repeat(500))

  const { code, stdout, stderr } = await pyro(home, ['workspace', 'list'])
  assert.equal(code, 0)
  assert.match(stdout.toString(), new RegExp(`^\\[workspace\\] workspace_id=${id} name='dear' state=stopped [^\n]*\n$`))
  const backup = join(paths.state, readdirSync(paths.state).find((name) => /^pyro\.db\.damaged-[^.]*$/.test(name)) ?? '')
  assert.equal(readFileSync(backup, 'utf8'), 'not a database\n'.repeat(500))
  assert.match(stderr.toString(), /^\[notice\] .*records were damaged/m)
  assert.ok(stderr.toString().includes(backup))
  const told = (await pyro(home, ['daemon', 'status'])).stdout.toString()
  assert.match(told, /^Records: damaged .*it is not a database/m)
  assert.ok(told.includes(backup) && told.includes(join(paths.workspaces, gone)), told)
  assert.equal((await pyro(home, ['workspace', 'list', '--json'])).stderr.toString(), '')

  assert.equal((await pyro(home, ['workspace', 'start', id])).code, 0)
  assert.equal(await run(id, 'cat file'), 'never flushed\n')
  rmSync(backup)
  assert.equal((await pyro(home, ['workspace', 'list'])).stderr.toString(), '', 'nothing more is said of what was dealt with')
  rmSync(join(paths.workspaces, gone), { recursive: true })
})

verifies('luck.removed', 'a machine whose directories were removed works, stops and starts again', async () => {
  const { home, paths, run, status, stopped } = luckless()
  const id = await newWorkspace(home, ...small)
  rmSync(paths.machines, { recursive: true })
  assert.equal(await run(id, 'echo kept >file; sync; echo works'), 'works\n')
  await stopped(true)
  assert.equal(await run(id, 'echo adopted'), 'adopted\n')
  // As it happens to those who log out: what is in the runtime directory goes, what runs stays.
  rmSync(paths.sockets, { recursive: true })
  assert.equal(await run(id, 'echo works'), 'works\n')
  await stopped(true)
  assert.equal(await run(id, 'cat file'), 'kept\n')
  assert.equal((await status(id)).state, 'started')
  await until('one machine alone', () => processesUsing(join(paths.workspaces, id)).length <= 2)
  assert.equal((await pyro(home, ['workspace', 'stop', id])).code, 0)
  assert.equal((await pyro(home, ['workspace', 'delete', id])).code, 0)
})

verifies('luck.removed', 'a workspace whose disk was removed says so and can be deleted', async () => {
  const { home, paths, client } = luckless()
  const id = await newWorkspace(home, ...small)
  await client.call('workspace_stop', { workspace_id: id })
  rmSync(join(paths.workspaces, id, 'disk.img'))
  await assertRefused(home, ['workspace', 'start', id], { code: 'wrong_state', error: new RegExp(`the disk of '${id}' is gone`), hint: new RegExp(`pyro workspace delete ${id}`) })
  rmSync(join(paths.workspaces, id), { recursive: true })
  await assertRefused(home, ['workspace', 'start', id], { code: 'wrong_state', error: /is gone/, hint: /delete/ })
  assert.equal((await pyro(home, ['workspace', 'delete', id])).code, 0)
  assert.equal((await pyro(home, ['workspace', 'list'])).stdout.toString(), 'No workspaces.\n')
})

verifies('luck.environment', 'a workspace starts when its environment and its seed have gone from the cache', async () => {
  const cache = ownCache('environments', 'seeds')
  const { home, paths, client, run } = luckless({ XDG_CACHE_HOME: cache })
  const { environments } = resolvePaths()
  cpSync(environments, paths.environments, { recursive: true, filter: (path) => statSync(path).isDirectory() || link(path, path.replace(environments, paths.environments)) })
  const seed = join(home.directory, 'seed')
  mkdirSync(seed)
  writeFileSync(join(seed, 'file'), 'of the seed\n')
  const id = await newWorkspace(home, ...small, '--seed-path', seed)
  await client.call('workspace_stop', { workspace_id: id })
  for (const directory of [paths.environments, paths.seeds, seed]) rmSync(directory, { recursive: true })
  assert.equal((await pyro(home, ['workspace', 'start', id])).code, 0)
  assert.equal(await run(id, 'cat file'), 'of the seed\n')
})

function link(from: string, to: string): false {
  mkdirSync(join(to, '..'), { recursive: true })
  linkSync(from, to)
  return false
}

verifies('luck.many', `${many} workspaces where three machines fit are made one after the other, and each works when it is needed`, { timeout: 30_000 + many * 15_000 }, async () => {
  const { home, client, run } = luckless({ PYRO_MAX_MACHINES: '3' })
  const ids: string[] = []
  for (let i = 0; i < many; i += 1) {
    const id = await newWorkspace(home, ...small)
    await run(id, `echo ${i} >file`)
    ids.push(id)
  }
  const { workspaces } = await client.call('workspace_list', {})
  assert.equal(workspaces.length, many)
  assert.ok(workspaces.filter(({ state }) => state === 'started').length <= 3)
  for (const i of [0, 1, many - 1]) assert.equal(await run(ids[i] ?? '', 'cat file'), `${i}\n`)
})

verifies('luck.clock', 'workspaces from the far past and the far future are there, are used as ever, and keep nobody busy', async () => {
  const { home, paths, client, run, status, stopped } = luckless()
  const years = 10 * 365 * 86400
  const ids: string[] = []
  for (const offset of [-years, years]) {
    const id = await newWorkspace(home, ...small)
    ids.push(id)
    await run(id, 'echo kept >file')
    await stopped()
    records(paths.store, `UPDATE sandboxes SET created_at = created_at + ${offset}, last_activity_at = last_activity_at + ${offset}, expires_at = expires_at + ${offset} WHERE id = '${id}'`)
  }
  records(paths.store, `UPDATE commands SET recorded_at = recorded_at + ${years}; UPDATE machines SET created_at = created_at - ${years}`)
  for (const id of ids) assert.equal((await pyro(home, ['workspace', 'status', id])).code, 0)
  assert.equal((await client.call('workspace_list', {})).count, 2)
  const pid = (await daemonPid(paths)) ?? 0
  await delay(1500) // what is loaded behind the first calls
  const before = cpuTicks(pid)
  await delay(2000) // this long in which there is nothing to do
  assert.ok(cpuTicks(pid) - before < 20, 'the daemon is busy with nothing')
  for (const id of ids) {
    assert.equal(await run(id, 'cat file'), 'kept\n')
    const { expires_at, last_activity_at } = await status(id)
    assert.ok(Math.abs(last_activity_at - Date.now() / 1000) < 60 && expires_at > Date.now() / 1000, 'its times are right again once it is used')
  }
  const listed = (await pyroJson<{ workspaces: { retention_due_at: number | null }[] }>(home, 'workspace', 'list')).workspaces
  assert.deepEqual(listed.map((workspace) => workspace.retention_due_at), [null, null])
  for (const id of ids) assert.ok(existsSync(join(paths.workspaces, id, 'disk.img')))
})

function cpuTicks(pid: number): number {
  const [, , , , , , , , , , , user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return Number(user) + Number(system)
}
