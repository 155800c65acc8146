import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { run } from '../../src/contract/run.ts'
import { collect, pyro, pyroProgram, startPyro } from '../behaviours/command-line.ts'
import { assertNothingLeft, environment, temporaryHome } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'

const home = temporaryHome()

const guest = (...words: string[]) => pyro(home, ['run', environment, '--', ...words])
const sh = (script: string) => guest('sh', '-c', script)

verifies(['run.exit-code', 'run.streams-apart'], "exit code, stdout and stderr are the command's, with a summary behind stderr", async () => {
  const { code, stdout, stderr } = await sh('echo out; echo err >&2; exit 7')
  assert.equal(code, 7)
  assert.equal(stdout.toString(), 'out\n')
  const lines = stderr.toString().trimEnd().split('\n')
  const id = /vm_id=(\w+)/.exec(lines[1] ?? '')?.[1]
  assert.deepEqual(lines.slice(0, 4), [`[run] phase=create environment=${environment}`, `[run] phase=start vm_id=${id}`, `[run] phase=execute vm_id=${id}`, 'err'])
  assert.match(lines[4] ?? '', new RegExp(`^\\[run\\] environment=${environment} execution_mode=guest_vsock exit_code=7 duration_ms=\\d+$`))
  assert.equal(lines.length, 5)
})

verifies('run.signal-code', 'pyro ends with 128 and the signal that ended the command', async () => {
  assert.equal((await sh('kill -SEGV $$')).code, 139)
})

verifies('run.timeout-is-result', 'a time-out ends pyro with 124 behind all output so far', async () => {
  const { code, stdout, stderr } = await pyro(home, ['run', environment, '--timeout-seconds', '1', '--', 'sh', '-c', 'printf so-far; sleep 1000'])
  assert.equal(code, 124)
  assert.equal(stdout.toString(), 'so-far')
  assert.match(stderr.toString(), /command timed out after 1s\n\[run\] .* exit_code=124 /)
  assert.doesNotMatch(stderr.toString(), /\[error\]/)
})

verifies(['run.kernel', 'fork.no-host'], "uname -r is the guest's kernel and process 1 is not the host's", async () => {
  const { code, stdout } = await sh('uname -r; cat /proc/1/comm; cat /proc/sys/kernel/random/boot_id')
  assert.equal(code, 0)
  const [kernel = '', init, boot] = stdout.toString().split('\n')
  assert.match(kernel, /^\d+\.\d+\.\d+-.*cloud-amd64$/)
  assert.notEqual(init, readFileSync('/proc/1/comm', 'utf8').trim())
  assert.notEqual(boot, readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
})

verifies('run.json-shape', '--json prints one sorted document of the contract and nothing else', async () => {
  const { code, stdout, stderr } = await pyro(home, ['run', environment, '--json', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3'])
  assert.equal(code, 3)
  assert.equal(stderr.toString(), '')
  const text = stdout.toString()
  const result = run.output.strict().parse(JSON.parse(text))
  assert.deepEqual(
    { ...result, vm_id: '', duration_ms: 0, metadata: {}, cleanup: {} },
    {
      vm_id: '',
      environment,
      environment_version: '1.0.0',
      command: `sh -c 'echo out; echo err >&2; exit 3'`,
      stdout: 'out\n',
      stderr: 'err\n',
      stdout_bytes: 4,
      stderr_bytes: 4,
      stdout_truncated: false,
      stderr_truncated: false,
      exit_code: 3,
      timed_out: false,
      duration_ms: 0,
      execution_mode: 'guest_vsock',
      metadata: {},
      cleanup: {},
    },
  )
  assert.deepEqual(result.cleanup, { vm_id: result.vm_id, deleted: true, reason: 'post_exec_cleanup' })
  assert.match(result.metadata['vmm'] ?? '', /^qemu-(kvm|tcg)$/)
  const keys = [...text.matchAll(/^ {2}"(\w+)"/gm)].map(([, key]) => key)
  assert.deepEqual(keys, keys.toSorted())
})

verifies('cli.words-survive', 'words with spaces, quotes, newlines and shell syntax arrive as they are', async () => {
  const words = ['', ' ', 'a b', `it's`, '"', '$HOME', '`id`', '\\', 'a\nb', '*', '--json', '--', '-h', ';', 'ä€😀', '~']
  const { code, stdout } = await guest('printf', '%s\\0', ...words)
  assert.equal(code, 0)
  assert.deepEqual(stdout.toString().split('\0').slice(0, -1), words)
})

verifies('cli.flags-anywhere', 'flags before and after the environment count, and a command needs no --', async () => {
  for (const args of [
    ['run', '--json', '--mem-mib', '1024', environment, 'echo', 'x'],
    ['run', environment, '--mem-mib=1024', '--json', '--', 'echo', 'x'],
  ]) {
    const { code, stdout, stderr } = await pyro(home, args)
    assert.equal(code, 0, stderr.toString())
    assert.equal((JSON.parse(stdout.toString()) as { stdout: string }).stdout, 'x\n')
  }
})

verifies(['run.endless-output', 'life.no-leftovers'], 'an endless command ends with its reader and leaves nothing', async () => {
  const script = `"$0" run ${environment} -- yes 2>/dev/null | head -c 100000 | wc -c`
  const counted = await new Promise<string>((resolve, reject) => {
    execFile('sh', ['-c', script, pyroProgram], { env: home.env, timeout: 60_000, killSignal: 'SIGKILL' }, (error, stdout) => (error ? reject(error) : resolve(stdout)))
  })
  assert.equal(counted.trim(), '100000')
  await assertNothingLeft(home)
})

verifies('errors.stdout-closed', 'a stdout that is closed from the start ends pyro without a stack trace', async () => {
  const child = startPyro(home, ['run', environment, '--', 'sh', '-c', 'while echo x; do :; done'])
  child.stdout?.destroy()
  const { code, signal, stderr } = await collect(child)
  assert.deepEqual([code, signal], [141, null])
  assert.doesNotMatch(stderr.toString(), /\bat .*:\d+|Error:/)
  await assertNothingLeft(home)
})

const outputBytes = 64 * 1024 * 1024
const allowedGrowth = outputBytes

verifies('run.flat-memory', '64 MiB of output pass through without growing pyro by as much', async (t) => {
  const child = startPyro(home, ['run', environment, '--', 'sh', '-c', `head -c ${outputBytes} /dev/zero; printf end`])
  const residentPeak = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024
  let received = 0
  let first: number | undefined
  let last: number | undefined
  child.stdout?.on('data', (chunk: Buffer) => {
    received += chunk.length
    first ??= residentPeak()
    // What is missing is more than a pipe holds, so pyro is still there to be looked at.
    if (received > outputBytes * 0.9) last ??= residentPeak()
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  assert.deepEqual([code, received], [0, outputBytes + 3])
  assert.ok(first !== undefined && last !== undefined)
  t.diagnostic(`from ${first} to ${last} bytes`)
  assert.ok(last - first < allowedGrowth, `grew by ${last - first} bytes`)
})
