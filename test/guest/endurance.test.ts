import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { temporaryHome } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { fork } from './fork.ts'

const home = temporaryHome()

/** What takes all that there is, and how it ends when its time is over or its memory is. */
const greedy: [title: string, script: string, codes: number[]][] = [
  ['forks', `perl -e 'fork while 1'`, [124]],
  ['starts threads of its own session', `perl -e 'while (1) { if (!fork) { setpgrp; sleep 1000 } }'`, [124]],
  ['fills memory', `perl -e '$x .= "x" x 1e6 while 1'`, [137, 124]],
  ['fills memory with processes', `perl -e 'for (1 .. 40) { fork or last } $x .= "x" x 1e6 while 1'`, [137, 124]],
  ['fills file systems in memory', 'for d in /dev /dev/shm /run; do dd if=/dev/zero of=$d/fill bs=1M; done; rm -f /dev/fill /dev/shm/fill /run/fill', [0]],
  ['stops everything that it sees', 'sleep 1000 & kill -STOP -1', [0]],
  ['opens files without end', `perl -e 'for (1 .. 50) { fork or last } my @f; while (1) { open(my $f, "<", "/dev/null") or sleep 1; push @f, $f }'`, [124, 137]],
]

for (const [title, script, codes] of greedy) {
  verifies('agent.survives', `a command that ${title} leaves the agent as it was`, async () => {
    const { guest, run } = await fork(home)
    const running = run(script, { timeoutMs: 5000 })
    const ended = running.then(() => true, () => true)
    do await guest.agent.ping({}, { timeoutMs: 10_000 })
    while (!(await Promise.race([ended, delay(100, false)])))
    const { code, stderr } = await running
    assert.ok(codes.includes(code), `${code}: ${stderr.slice(-500)}`)
    assert.equal((await run('echo still here')).stdout, 'still here\n')
  })
}

verifies('agent.survives', 'output that nobody reads is held in bounded memory', async () => {
  const { guest, run } = await fork(home)
  const streams = Array.from({ length: 30 }, (_, i) => guest.agent.exec({ execId: `flood-${i}`, argv: ['/bin/sh', '-c', 'cat /dev/zero & cat /dev/zero >&2'], cwd: '/', env: ['PATH=/bin'] })[Symbol.asyncIterator]())
  await Promise.all(streams.map((stream) => stream.next()))
  assert.equal((await run('echo still here')).stdout, 'still here\n')
  const { residentBytes } = await guest.agent.ping({})
  assert.ok(residentBytes < 160n * 1024n * 1024n, String(residentBytes))
})
