import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { PassThrough, Readable } from 'node:stream'
import { test } from 'node:test'
import { execWorkspace } from '../../src/contract/workspaces.ts'
import { collect, pyro, pyroProgram, startPyro } from '../behaviours/command-line.ts'
import { until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { newWorkspace, pyroReading, workspaceHome } from './workspace-home.ts'

const home = workspaceHome()
let id = ''

test.before(async () => {
  id = await newWorkspace(home)
})

const exec = (...words: string[]) => pyro(home, ['workspace', 'exec', id, '--', ...words])
const sh = (script: string) => exec('sh', '-c', script)

/** Whether a process with exactly these words runs in the guest. */
async function runs(...words: string[]): Promise<boolean> {
  const { stdout } = await sh(`for each in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $each; echo; done 2>/dev/null`)
  return stdout.toString().split('\n').includes(`${words.join(' ')} `)
}

verifies('cli-workspace.exec', "exit code, stdout and stderr are the command's, with a summary behind stderr", async () => {
  const { code, stdout, stderr } = await sh('echo out; printf err >&2; exit 7')
  assert.deepEqual([code, stdout.toString()], [7, 'out\n'])
  assert.match(stderr.toString(), new RegExp(`^err\\[workspace-exec\\] workspace_id=${id} sequence=\\d+ cwd=/workspace execution_mode=guest_vsock exit_code=7 duration_ms=\\d+\n$`))
})

verifies('cli-workspace.exec', '--json prints one document of the contract and ends with the exit code', async () => {
  const { code, stdout, stderr } = await pyro(home, ['workspace', 'exec', '--json', id, '--', 'sh', '-c', 'echo out; echo err >&2; exit 3'])
  assert.deepEqual([code, stderr.toString()], [3, ''])
  const result = execWorkspace.output.strict().parse(JSON.parse(stdout.toString()))
  assert.deepEqual([result.workspace_id, result.stdout, result.stderr, result.exit_code, result.cwd], [id, 'out\n', 'err\n', 3, '/workspace'])
})

verifies('cli-workspace.exec', 'any bytes arrive unchanged', async () => {
  const { code, stdout } = await sh('head -c 3000000 /dev/urandom > random; sha256sum < random >&2; cat random')
  const { stdout: sum } = await sh('sha256sum < random')
  assert.deepEqual([code, createHash('sha256').update(stdout).digest('hex')], [0, sum.toString().split(' ')[0]])
})

verifies('cli-workspace.exec-where', '--cwd and --env reach the command, and a directory that is missing is made', async () => {
  const { code, stdout } = await pyro(home, ['workspace', 'exec', id, '--cwd', 'new/place', '--env', 'A=1', '--env', 'B=x = y', '--env', 'EMPTY=', '--', 'sh', '-c', 'pwd; echo "$A|$B|${EMPTY-unset}"'])
  assert.deepEqual([code, stdout.toString()], [0, '/workspace/new/place\n1|x = y|\n'])
})

verifies('cli-workspace.exec-stdin', '-i passes every byte of stdin on, and its end', async () => {
  const bytes = randomBytes(8 * 1024 * 1024)
  const { code, stdout, stderr } = await pyroReading(home, ['workspace', 'exec', '-i', id, '--', 'sh', '-c', 'cat; echo end >&2'], Readable.from([bytes]))
  assert.equal(code, 0, stderr.toString())
  assert.equal(Buffer.compare(stdout, bytes), 0)
  assert.match(stderr.toString(), /^end\n/)
})

verifies('cli-workspace.exec-stdin', 'a command that reads only some of an endless stdin ends all the same', async () => {
  const { code, stdout } = await pyroReading(home, ['workspace', 'exec', id, '-i', '--', 'head', '-n', '1'], Readable.from(endless()))
  assert.deepEqual([code, stdout.toString()], [0, 'a line\n'])
  const open = new PassThrough()
  assert.equal((await pyroReading(home, ['workspace', 'exec', id, '-i', '--', 'true'], open)).code, 0)
})

function* endless(): Generator<string> {
  for (;;) yield 'a line\n'
}

verifies('cli-workspace.exec-stdin', 'without -i the command finds the end at once', async () => {
  const { code, stdout } = await pyroReading(home, ['workspace', 'exec', id, '--', 'sh', '-c', 'cat; echo end'], Readable.from(['not for it']))
  assert.deepEqual([code, stdout.toString()], [0, 'end\n'])
})

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  const code = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal]
  verifies('cli-workspace.exec-interrupt', `${signal} ends the command in the guest and pyro with ${code}`, async () => {
    const child = startPyro(home, ['workspace', 'exec', id, '--timeout-seconds', '0', '--', 'sh', '-c', `trap '' INT TERM HUP; echo up; sleep 1000${code}; sleep 1000`])
    child.stdout?.once('data', () => child.kill(signal))
    const ended = await collect(child)
    assert.deepEqual([ended.code, ended.signal, ended.stdout.toString()], [code, null, 'up\n'])
    assert.doesNotMatch(ended.stderr.toString(), /\bat .*:\d+/)
    await until('the end of the command', async () => !(await runs('sleep', `1000${code}`)))
  })
}

verifies('cli-workspace.exec-reader-gone', 'an endless command ends with its reader', async () => {
  const script = `"$0" workspace exec ${id} --timeout-seconds 0 -- yes pyro-test 2>/dev/null | head -c 100000 | wc -c`
  const counted = await new Promise<string>((resolve, reject) => {
    execFile('sh', ['-c', script, pyroProgram], { env: home.env, timeout: 60_000, killSignal: 'SIGKILL' }, (error, stdout) => (error ? reject(error) : resolve(stdout)))
  })
  assert.equal(counted.trim(), '100000')
  await until('the end of the command', async () => !(await runs('yes', 'pyro-test')))
})

verifies('cli-workspace.exec-timeout', 'a command whose time is over ends with 124 behind all output so far, and leaves no process', async () => {
  const { code, stdout, stderr } = await pyro(home, ['workspace', 'exec', id, '--timeout-seconds', '1', '--', 'sh', '-c', 'printf so-far; sleep 1000'])
  assert.deepEqual([code, stdout.toString()], [124, 'so-far'])
  assert.match(stderr.toString(), /command timed out after 1s\n\[workspace-exec\] .* exit_code=124 /)
  assert.equal(await runs('sleep', '1000'), false)
})

const chunks = 192
const chunkBytes = 1024 * 1024
const allowedBytes = 150 * 1024 * 1024

verifies('cli-workspace.exec-slow-reader', 'a reader that waits holds the command; when it goes on it gets every byte', { timeout: 240_000 }, async (t) => {
  const script = `i=0; while [ $i -lt ${chunks} ]; do head -c ${chunkBytes} /dev/zero; i=$((i+1)); echo $i > written; done`
  const child = startPyro(home, ['workspace', 'exec', id, '--timeout-seconds', '0', '--', 'sh', '-c', script])
  const ended = new Promise((resolve) => child.once('close', resolve))
  child.stdout?.pause()
  let [before, now] = [-1, -1]
  await until('the command to stand still', async () => {
    before = now
    now = Number((await exec('cat', 'written')).stdout.toString())
    return now > 0 && now === before
  })
  t.diagnostic(`held at ${now} of ${chunks} MiB`)
  assert.ok(now < chunks, 'the command was not held')
  const resident = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024
  t.diagnostic(`pyro has taken ${resident} bytes`)
  assert.ok(resident < allowedBytes)
  let received = 0
  child.stdout?.on('data', (data: Buffer) => (received += data.length))
  child.stdout?.resume()
  assert.deepEqual([await ended, received], [0, chunks * chunkBytes])
})
