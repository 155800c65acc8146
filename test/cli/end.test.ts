import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { collect, pyro, startPyro } from '../behaviours/command-line.ts'
import { assertNothingLeft, commandLine, environment, type Home, processesUsing, remains, temporaryHome, until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'

const home = temporaryHome()

/** How often to kill; every tenth of a second of a run's life is met by as many. */
const kills = Number(process.env['PYRO_TEST_KILLS'] ?? 8)
const runMs = 1200

/** The VMM runs in its machine's directory. */
function vmmOf({ directory }: Home): number | undefined {
  return processesUsing(directory).find((pid) => commandLine(pid).startsWith('qemu-'))
}

verifies(['life.killed', 'life.no-leftovers'], `kill -9 of pyro at ${kills} moments leaves no VMM, no lock and no directory`, { timeout: 60_000 + kills * 5000 }, async (t) => {
  let met = 0
  for (let i = 0; i < kills; i++) {
    const child = startPyro(home, ['run', environment, '--', 'sh', '-c', 'echo up; sleep 1000'])
    const ended = collect(child)
    const at = (runMs * (i + Math.random())) / kills
    await new Promise((resolve) => setTimeout(resolve, at)) // the moment is what is tested
    if (remains(home).length > 0) met += 1
    child.kill('SIGKILL')
    assert.equal((await ended).signal, 'SIGKILL')
    await assertNothingLeft(home)
  }
  t.diagnostic(`${met} of ${kills} met a machine`)
  assert.ok(met > 0, 'no moment was late enough for a machine to be there')
})

verifies('life.killed', 'kill -9 of pyro in the middle of a command ends the VMM', async () => {
  const child = startPyro(home, ['run', environment, '--', 'sh', '-c', 'echo up; sleep 1000'])
  await new Promise((resolve) => child.stdout?.once('data', resolve))
  assert.ok(vmmOf(home))
  child.kill('SIGKILL')
  await assertNothingLeft(home)
})

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  verifies('life.interrupt', `${signal} ends a run with ${code} and leaves nothing`, async () => {
    const child = startPyro(home, ['run', environment, '--', 'sh', '-c', "trap '' INT TERM HUP; echo up; while :; do sleep 1000; done"])
    child.stdout?.once('data', () => child.kill(signal))
    const ended = await collect(child)
    assert.deepEqual([ended.code, ended.signal, ended.stdout.toString()], [code, null, 'up\n'])
    assert.doesNotMatch(ended.stderr.toString(), /\bat .*:\d+/)
    assert.deepEqual(remains(home), [])
  })
}

verifies('life.interrupt', 'an interrupt before the guest is up ends the run and leaves nothing', async () => {
  const child = startPyro(home, ['run', environment, '--', 'sleep', '1000'])
  child.stderr?.once('data', () => child.kill('SIGINT'))
  assert.equal((await collect(child)).code, 130)
  assert.deepEqual(remains(home), [])
})

verifies('life.vmm-death', 'a VMM that is killed is an error at once, with its code and the way on', async () => {
  const child = startPyro(home, ['run', environment, '--json', '--', 'sleep', '1000'])
  const ended = collect(child)
  const pid = await until('the VMM', () => vmmOf(home))
  const socket = await until('its sockets', () => readdirSync(home.engine.paths.sockets)[0])
  assert.ok(socket)
  process.kill(pid, 'SIGKILL')
  const { code, stdout, stderr } = await ended
  assert.deepEqual([code, stderr.toString()], [1, ''])
  const error = JSON.parse(stdout.toString()) as { ok: boolean; code: string; error: string; hint: string }
  assert.deepEqual([error.ok, error.code], [false, 'vmm_exited'])
  assert.match(error.error, /ended by SIGKILL/)
  assert.match(error.hint, /pyro doctor/)
  assert.deepEqual(remains(home), [])
})

verifies('life.monitor-death', 'a killed monitor takes its VMM along, and the next run removes the directory', async () => {
  const child = startPyro(home, ['run', environment, '--json', '--', 'sleep', '1000'])
  const ended = collect(child)
  await until('the VMM', () => vmmOf(home))
  const monitor = await until('its monitor', () => processesUsing(home.directory).find((pid) => commandLine(pid).endsWith('pyro-host monitor')))
  process.kill(monitor, 'SIGKILL')
  const { code, stdout } = await ended
  assert.deepEqual([code, (JSON.parse(stdout.toString()) as { code: string }).code], [1, 'vmm_exited'])
  await until('the end of the VMM', () => processesUsing(home.directory).length === 0)
  assert.equal((await pyro(home, ['run', environment, '--', 'true'])).code, 0)
  await assertNothingLeft(home)
})
