import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { handlers } from '../../../src/engine/operations.ts'
import { sandboxFiles } from '../../../src/engine/sandbox/directory.ts'
import { environment, type Home, processesUsing, temporaryHome, until } from '../../behaviours/home.ts'
import { verifies } from '../../behaviours/promises.ts'
import { own, type Owner } from '../../behaviours/workspaces.ts'

/** Owns the home in a process of its own, does what the script says there, and is killed once it has said "now". */
async function killedOwner(home: Home, script: string): Promise<string[]> {
  const source = `
    import { openOrchestrator } from '${join(import.meta.dirname, '../../../src/engine/orchestrator/open.ts')}'
    import { handlers } from '${join(import.meta.dirname, '../../../src/engine/operations.ts')}'
    const orchestrator = await openOrchestrator(JSON.parse(process.argv[1]))
    const call = async (name, input, call = {}) => (await handlers[name]())(orchestrator, input, call)
    const say = (text) => process.stdout.write(text + '\\n')
    ${script}
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source, JSON.stringify(home.engine)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const said: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'now') break
    said.push(line)
  }
  const gone = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined
  child.kill('SIGKILL')
  await gone
  return said
}

const quiet = { PYRO_WARM_FORKS: '0' }
const creating = `const { workspace_id: id } = await call('workspace_create', { environment: '${environment}', mem_mib: 256 }); say(id)`

verifies(['adopt.machines', 'adopt.commands'], 'processes live on, and a command has its whole output', async () => {
  const home = temporaryHome(quiet)
  const [id = '', pid = ''] = await killedOwner(
    home,
    `${creating}
     say((await call('workspace_exec', { workspace_id: id, command: 'sleep 1000 >/dev/null 2>&1 & echo $!' })).stdout.trim())
     void call('workspace_exec', { workspace_id: id, command: 'seq 1 50000; while [ ! -e go ]; do sleep 0.02; done; seq 50001 100000; echo end >&2; exit 5', timeout_seconds: 0 }, { onOutput: (stream, data) => String(Buffer.from(data)).includes('\\n20000\\n') && say('now') })`,
  )
  const { run, call } = await own({}, home)
  assert.equal((await run(id, `touch go; kill -0 ${pid} && echo alive`)).stdout, 'alive\n')
  const end = await call('workspace_follow', { workspace_id: id, sequence: 2 })
  assert.deepEqual([end.exit_code, end.stderr, end.stdout], [5, 'end\n', Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join('')])
  const [entry] = (await call('workspace_logs', { workspace_id: id, sequence: 2 })).entries
  assert.deepEqual([entry?.state, entry?.exit_code, entry?.stdout_bytes], ['ended', 5, end.stdout.length])
})

verifies('adopt.dead', 'after the end of everything the disk is there, what ran is lost, and the next command starts it', async () => {
  const home = temporaryHome(quiet)
  const [id = ''] = await killedOwner(
    home,
    `${creating}
     await call('workspace_exec', { workspace_id: id, command: 'echo kept >file; sync' })
     void call('workspace_exec', { workspace_id: id, command: 'echo begun; sleep 1000' }, { onOutput: () => say('now') })`,
  )
  // The host goes down: every process ends, and what is in the runtime directory is gone.
  for (const pid of processesUsing(home.directory)) process.kill(pid, 'SIGKILL')
  await until('all to be gone', () => processesUsing(home.directory).length === 0)
  await rm(home.engine.paths.sockets, { recursive: true, force: true })
  const { call, run } = await own({}, home)
  assert.deepEqual(pick(await call('workspace_status', { workspace_id: id })), ['stopped', 'host'])
  const lost = (await call('workspace_logs', { workspace_id: id })).entries.at(-1)
  assert.deepEqual([lost?.state, lost?.exit_code, lost?.stdout], ['lost', null, 'begun\n'])
  assert.equal((await run(id, 'cat file')).stdout, 'kept\n')
  assert.deepEqual(pick(await call('workspace_status', { workspace_id: id })), ['started', undefined])
})

verifies('adopt.dead', 'a VMM that is killed leaves its workspace stopped, with the reason, up to its last checkpoint', async () => {
  const { call, create, run, orchestrator } = await own(quiet)
  const id = await create()
  await run(id, 'echo checkpointed >file')
  await run(id, 'true') // waits for the checkpoint
  const going = run(id, 'echo begun; sleep 1000')
  going.catch(() => {})
  await until('the command to run', () => orchestrator.sandboxes.get(id)?.commands.get(3)?.bytes.stdout)
  process.kill(orchestrator.sandboxes.get(id)?.live?.machine.pid ?? 0, 'SIGKILL')
  await assert.rejects(going, { code: 'vmm_exited' })
  const { state, metadata } = await until('the end to be seen', async () => {
    const seen = await call('workspace_status', { workspace_id: id })
    return seen.state === 'stopped' ? seen : undefined
  })
  assert.deepEqual([state, metadata['stopped_by']], ['stopped', 'vmm'])
  assert.match(metadata['error'] ?? '', /backing guest process is no longer running/)
  await assert.rejects(run(id, 'true'), { code: 'wrong_state', hint: `pyro workspace start ${id}` })
  await call('workspace_start', { workspace_id: id })
  assert.equal((await run(id, 'cat file')).stdout, 'checkpointed\n')
  assert.deepEqual((await call('workspace_logs', { workspace_id: id })).entries.map((entry) => entry.state), ['ended', 'ended', 'lost', 'ended'])
})

for (const [what, script] of Object.entries({
  'a creation': `void call('workspace_create', { environment: '${environment}', mem_mib: 256 }); setTimeout(() => say('now'), DELAY)`,
  'a removal': `${creating}; void call('workspace_delete', { workspace_id: id }); setTimeout(() => say('now'), DELAY)`,
  'a stop': `${creating}; void call('workspace_stop', { workspace_id: id }); setTimeout(() => say('now'), DELAY)`,
  'a start': `${creating}; await call('workspace_stop', { workspace_id: id }); void call('workspace_start', { workspace_id: id }); setTimeout(() => say('now'), DELAY)`,
})) {
  verifies('adopt.half-done', `${what} that was cut is finished or undone`, async () => {
    const home = temporaryHome(quiet)
    for (const ms of [0, 30, 120, 300]) {
      await killedOwner(home, script.replaceAll('DELAY', String(ms)))
      const owner = await own({}, home)
      await consistent(owner)
      await owner.orchestrator[Symbol.asyncDispose]()
    }
    await own({}, home) // removes what is there
  })
}

verifies('adopt.half-done', 'a fork that waited when its owner was killed is ended', async () => {
  const home = temporaryHome()
  await killedOwner(home, `${creating}; setInterval(() => orchestrator.warm.count && say('now'), 10)`)
  const { orchestrator } = await own(quiet, home)
  assert.deepEqual(orchestrator.store.machines().map(({ kind }) => kind), ['sandbox'])
  assert.equal(readdirSync(home.engine.paths.workspaces).length, 1)
})

/** Every workspace on record works, and there is nothing else. */
async function consistent({ orchestrator, home, run, call }: Owner): Promise<void> {
  const { store } = orchestrator
  const { paths } = home.engine
  assert.deepEqual(store.intents(), [])
  const rows = store.sandboxes()
  mkdirSync(paths.workspaces, { recursive: true })
  assert.deepEqual(readdirSync(paths.workspaces).sort(), rows.map(({ id }) => id).sort())
  const running = rows.filter(({ state }) => state === 'started')
  assert.deepEqual(store.machines().map(({ id }) => id).sort(), running.map(({ machineId }) => machineId).sort())
  await until('no other machine', () => (existsSync(paths.machines) ? readdirSync(paths.machines).length : 0) === running.length)
  for (const { id, state } of rows) {
    assert.ok(existsSync(sandboxFiles(paths, id).disk))
    if (state !== 'started') await call('workspace_start', { workspace_id: id })
    assert.equal((await run(id, 'echo works')).stdout, 'works\n')
  }
}

function pick({ state, metadata }: Awaited<ReturnType<Awaited<ReturnType<(typeof handlers)['workspace_status']>>>>) {
  return [state, metadata['stopped_by']]
}
