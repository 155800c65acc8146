import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PyroError } from '../../src/contract/errors.ts'
import { runInVm } from '../../src/engine/run.ts'
import { type LaunchedMachine, launchMachine } from '../../src/engine/machine/launch.ts'
import { newMachineId } from '../../src/engine/machine/start.ts'
import { collect, pyro, startPyro } from '../behaviours/command-line.ts'
import { execute, marker } from '../behaviours/guest.ts'
import { assertNothingLeft, commandLine, environment, type Home, processesUsing, remains, temporaryHome, until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'

const home = temporaryHome({ PYRO_VMM: 'host', A_SECRET: 'hunter2' })
const allowed = { environment, allow_host_compat: true }

verifies(['host.opt-in', 'run.exit-code'], 'an allowed run gives its exit code and says how it ran', async () => {
  const warnings: string[] = []
  const result = await runInVm(home.engine, { ...allowed, command: 'echo out; echo err >&2; exit 7' }, { onHostCompat: (reason) => warnings.push(reason) })
  assert.deepEqual([result.exit_code, result.stdout, result.stderr], [7, 'out\n', 'err\n'])
  assert.deepEqual([result.execution_mode, result.environment_version, result.metadata], ['host_compat', null, { vmm: 'host' }])
  assert.deepEqual(warnings, ['PYRO_VMM=host'])
})

verifies('host.opt-in', 'the command line warns on stderr, with --json too', async () => {
  for (const flags of [[], ['--json']]) {
    const { code, stderr } = await pyro(home, ['run', environment, '--allow-host-compat', ...flags, '--', 'true'])
    assert.equal(code, 0)
    assert.match(stderr.toString(), /NO ISOLATION/)
  }
})

verifies('host.opt-in', 'without the opt-in nothing runs, and the error names it', async () => {
  const { code, stdout } = await pyro(home, ['run', environment, '--json', '--', 'touch', join(home.directory, 'ran')])
  const error = JSON.parse(stdout.toString()) as { code: string; error: string }
  assert.deepEqual([code, error.code], [1, 'guest_unavailable'])
  assert.match(error.error, /--allow-host-compat/)
  assert.deepEqual(remains(home), [])
})

verifies('host.opt-in', 'the opt-in alone changes nothing where a guest boots', async () => {
  const { PYRO_VMM: _, ...env } = home.env
  const result = await runInVm({ ...home.engine, env }, { ...allowed, command: 'true' })
  assert.equal(result.execution_mode, 'guest_vsock')
})

verifies('host.opt-in', 'the opt-in counts where no VMM is installed', async () => {
  const { PYRO_VMM: _, ...env } = home.env
  const engine = { ...home.engine, env: { ...env, PATH: '/nowhere' } }
  assert.equal((await runInVm(engine, { ...allowed, command: 'true' })).execution_mode, 'host_compat')
  await assert.rejects(runInVm(engine, { environment, command: 'true' }), { code: 'vmm_missing' })
})

verifies('host.workspace', 'a command starts in its own workspace and gets none of our variables', async () => {
  const result = await runInVm(home.engine, { ...allowed, command: 'pwd; cd "$HOME" && pwd; cd "$TMPDIR" && pwd; echo ${A_SECRET-none}' })
  const root = join(home.engine.paths.machines, result.vm_id, 'root')
  assert.deepEqual(result.stdout.trim().split('\n'), [join(root, 'workspace'), join(root, 'root'), join(root, 'tmp'), 'none'])
})

verifies('host.workspace', 'a seed is in it, from a directory and from an archive', async () => {
  const seed = join(home.directory, 'seed')
  mkdirSync(join(seed, 'bin'), { recursive: true })
  writeFileSync(join(seed, 'bin/tool'), '#!/bin/sh\necho tool ran\n', { mode: 0o755 })
  symlinkSync('bin/tool', join(seed, 'link'))
  const archive = join(home.directory, 'seed.tgz')
  execFileSync('tar', ['-czf', archive, '-C', seed, '.'])
  for (const path of [seed, archive]) {
    const result = await runInVm(home.engine, { ...allowed, seed_path: path, command: './link; readlink link; echo more >>bin/tool' })
    assert.equal(result.stdout, 'tool ran\nbin/tool\n', result.stderr)
  }
})

verifies(['host.ends-all', 'run.timeout-kills-all'], 'a time-out is a result and kills grandchildren', async () => {
  await using machine = await launch(home)
  const word = marker()
  const sleeper = `bash -c 'exec -a ${word} sleep 1000'`
  const { exitCode, timedOut, stdout } = await execute(machine, `${sleeper} & setsid ${sleeper} & printf before; bash -c "${sleeper}; true"`, { timeoutMs: 1000 })
  assert.deepEqual([exitCode, timedOut, stdout.toString()], [124, true, 'before'])
  assert.deepEqual(
    processesUsing(word).filter((pid) => commandLine(pid)),
    [],
  )
})

verifies('host.ends-all', 'a run ends with its command, and daemons of its own with it', async () => {
  const sleeper = 'sleep 1000 >/dev/null 2>&1'
  const result = await runInVm(home.engine, { ...allowed, command: `${sleeper} & (setsid ${sleeper} &); mkdir -p shut/in; chmod 0 shut/in shut; echo done` })
  assert.equal(result.stdout, 'done\n')
  await assertNothingLeft(home)
})

verifies('host.ends-all', 'a killed pyro leaves nothing', async () => {
  const child = startPyro(home, ['run', environment, '--allow-host-compat', '--', 'sh', '-c', '(setsid sleep 1000 &); sleep 1000'])
  const end = collect(child)
  await until('both sleeps', () => sleeps().length === 2)
  child.kill('SIGKILL')
  await end
  await assertNothingLeft(home)
})

verifies('host.ends-all', 'an interrupted pyro leaves nothing and ends with 130', async () => {
  const child = startPyro(home, ['run', environment, '--allow-host-compat', '--', 'sleep', '1000'])
  const end = collect(child)
  await until('the sleep', () => sleeps().length === 1)
  child.kill('SIGINT')
  assert.equal((await end).code, 130)
  await assertNothingLeft(home)
})

verifies(['host.ends-all', 'life.no-leftovers'], "a killed monitor's processes end, and the next run removes its directory", async () => {
  const own = temporaryHome({ PYRO_VMM: 'host' })
  const machine = await launch(own)
  // The agent ends its processes before it ends itself, so either the command's end is told or the machine's.
  const running = execute(machine, 'sleep 1000 & sleep 1000', { timeoutMs: 0 }).then(
    ({ exitCode }) => exitCode,
    ({ code }: PyroError) => code,
  )
  await until('both sleeps', () => sleeps(own.directory).length === 2)
  const monitor = Number(/^PPid:\s+(\d+)/m.exec(execFileSync('cat', [`/proc/${machine.pid}/status`], { encoding: 'utf8' }))?.[1])
  process.kill(monitor, 'SIGKILL')
  assert.ok([137, 'vmm_exited'].includes(await running))
  await until('their end', () => processesUsing(own.directory).length === 0)
  await machine[Symbol.asyncDispose]()
  await runInVm(own.engine, { ...allowed, command: 'true' })
  await assertNothingLeft(own)
})

async function launch({ engine, machines }: Home): Promise<LaunchedMachine> {
  return machines.use(await launchMachine(engine, { id: newMachineId(), environment, shape: { vcpuCount: 1, memMib: 1024 }, allowHostCompat: true }))
}

function sleeps(directory = home.directory): number[] {
  return processesUsing(directory).filter((pid) => /^sleep 1000$/.test(commandLine(pid)))
}
