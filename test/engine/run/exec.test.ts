import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { OutputStream } from '../../../src/guest/gen/pyro/agent/v1/agent_pb.ts'
import { execute, guestProcesses, marker, output, launch } from '../../behaviours/guest.ts'
import { temporaryHome, until } from '../../behaviours/home.ts'
import { verifies } from '../../behaviours/promises.ts'

const machine = await launch(temporaryHome())

for (const [script, code] of [
  ['exit 0', 0],
  ['exit 1', 1],
  ['exit 255', 255],
  ['kill -HUP $$', 129],
  ['kill -KILL $$', 137],
  ['kill -TERM $$', 143],
  ['/nowhere', 127],
  ['/etc/passwd', 126],
] as const) {
  verifies(script.startsWith('kill') ? 'run.signal-code' : 'run.exit-code', `${script} gives ${code}`, async () => {
    const { exitCode, timedOut } = await execute(machine, script)
    assert.deepEqual([exitCode, timedOut], [code, false])
  })
}

verifies(['run.any-bytes', 'run.streams-apart'], 'every byte value arrives on either stream', async () => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, value) => value))
  const octal = [...all].map((value) => `\\${value.toString(8).padStart(3, '0')}`).join('')
  const { stdout, stderr } = await execute(machine, `printf '${octal}'; printf '${octal}${octal}' >&2`)
  assert.deepEqual(stdout, all)
  assert.deepEqual(stderr, Buffer.concat([all, all]))
})

verifies('run.any-bytes', 'random bytes arrive in order, megabytes of them', async () => {
  const { stdout, stderr } = await execute(machine, 'head -c 5000000 /dev/urandom >r; cat r; sha256sum r >&2')
  assert.equal(createHash('sha256').update(stdout).digest('hex'), stderr.toString().split(' ')[0])
})

verifies('run.at-most-once', 'a command that prints 0xff without end of line runs once', async () => {
  await execute(machine, `printf '\\377\\377\\377'; echo ran >>count; printf '\\377' >&2; exit 9`)
  assert.equal(await output(machine, 'cat count'), 'ran\n')
})

verifies(['exec.once-per-id', 'run.at-most-once'], 'an id that was used is refused and nothing runs', async () => {
  const { agent } = machine.guest
  const execId = randomUUID()
  const request = { execId, argv: ['/bin/sh', '-c', 'echo ran >>twice'], cwd: '/workspace', env: ['PATH=/bin'] }
  const consume = async () => {
    for await (const _event of agent.exec(request));
  }
  await consume()
  await assert.rejects(consume(), /already_exists/i)
  assert.equal(await output(machine, 'cat twice'), 'ran\n')
})

verifies(['run.timeout-is-result', 'run.timeout-kills-all'], 'a time-out keeps the output and kills grandchildren, detached ones too', async () => {
  const word = marker()
  const sleeper = `bash -c 'exec -a ${word} sleep 1000'`
  const script = `${sleeper} & (setsid ${sleeper} &); (nohup ${sleeper} >/dev/null 2>&1 &); trap '' TERM INT; printf before; while :; do ${sleeper}; done`
  const { exitCode, timedOut, stdout } = await execute(machine, script, { timeoutMs: 1500 })
  assert.deepEqual([exitCode, timedOut, stdout.toString()], [124, true, 'before'])
  assert.deepEqual(await guestProcesses(machine, word), [])
})

verifies('run.background-children', 'children that hold the output do not hold up the end', async () => {
  const word = marker()
  const { exitCode, stdout, durationUs } = await execute(machine, `bash -c 'exec -a ${word} sleep 1000' & echo done`)
  assert.deepEqual([exitCode, stdout.toString()], [0, 'done\n'])
  assert.ok(durationUs < 30_000_000)
  assert.deepEqual(await guestProcesses(machine, word), [])
})

verifies('exec.concurrent', 'two commands that wait for each other both end', async () => {
  const [one, two] = await Promise.all([
    execute(machine, 'mkfifo a b; echo 1 >a; cat b'),
    execute(machine, 'until [ -p b ]; do :; done; cat a; echo 2 >b'),
  ])
  assert.deepEqual([one.stdout.toString(), two.stdout.toString()], ['2\n', '1\n'])
})

verifies('exec.concurrent', 'fifty commands at once have each its own output', async () => {
  const ends = await Promise.all(Array.from({ length: 50 }, (_, i) => execute(machine, `echo ${i}; exit ${i}`)))
  assert.deepEqual(
    ends.map(({ exitCode, stdout }) => [exitCode, stdout.toString()]),
    ends.map((_, i) => [i, `${i}\n`]),
  )
})

verifies('exec.cancel-kills-all', 'a cancelled exec fails as the caller wished and leaves no process', async () => {
  const word = marker()
  const cancel = new AbortController()
  const running = execute(machine, `bash -c 'exec -a ${word} sleep 1000' & echo up; wait`, {
    signal: cancel.signal,
    onOutput: () => cancel.abort(new Error('enough')),
  })
  await assert.rejects(running, /enough/)
  await until('its end', async () => (await guestProcesses(machine, word)).length === 0)
})

verifies('exec.back-pressure', 'a command waits for its reader', async () => {
  const written = () => output(machine, 'stat -c %s progress 2>/dev/null || echo 0').then(Number)
  const gate = Promise.withResolvers<void>()
  let bytes = 0
  const running = execute(machine, 'i=0; while [ $i -lt 20 ]; do head -c 1048576 /dev/zero; printf . >>progress; i=$((i+1)); done', {
    onOutput: (_, data) => {
      bytes += data.length
      return gate.promise
    },
  })
  // Held when what it wrote stays the same while another command, begun after it, does a lot of work.
  const held = await until('the command to be held', async () => {
    const before = await written()
    await output(machine, 'head -c 5000000 /dev/zero | sha256sum')
    return before > 0 && before === (await written()) ? before : undefined
  })
  assert.ok(held < 10, `${held} MiB were taken from a command whose output nobody read`)
  gate.resolve()
  assert.equal((await running).exitCode, 0)
  assert.equal(bytes, 20 * 1048576)
})

verifies('run.workspace', 'a command is root in /workspace with a plain environment and an empty stdin', async () => {
  const text = await output(machine, 'pwd; id -un; echo "$HOME:$LANG:$PATH"; wc -c; readlink /proc/self/fd/0; ls -A')
  assert.deepEqual(text.split('\n').slice(0, 5), ['/workspace', 'root', '/root:C.UTF-8:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', '0', '/dev/null'])
})

verifies('run.any-bytes', "events come in order, each stream's offsets without gap", async () => {
  const positions = { [OutputStream.STDOUT]: 0n, [OutputStream.STDERR]: 0n } as Record<number, bigint>
  const kinds: (string | undefined)[] = []
  for await (const { event } of machine.guest.agent.exec({ execId: randomUUID(), argv: ['/bin/sh', '-c', 'seq 1 20000; seq 1 20000 >&2'], cwd: '/workspace', env: ['PATH=/usr/bin:/bin'] })) {
    kinds.push(event.case)
    if (event.case !== 'output') continue
    assert.equal(event.value.offset, positions[event.value.stream])
    positions[event.value.stream] = event.value.offset + BigInt(event.value.data.length)
  }
  assert.equal(kinds[0], 'started')
  assert.deepEqual([kinds.at(-1), kinds.filter((kind) => kind === 'exit').length], ['exit', 1])
  assert.equal(positions[OutputStream.STDOUT], 108_894n)
  assert.equal(positions[OutputStream.STDERR], 108_894n)
})
