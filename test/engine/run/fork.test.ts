import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { hostname } from 'node:os'
import { execute, launch, output } from '../../behaviours/guest.ts'
import { until, temporaryHome } from '../../behaviours/home.ts'
import { verifies } from '../../behaviours/promises.ts'

const home = temporaryHome()
const [one, two] = await Promise.all([launch(home), launch(home)])

/** What the script prints in each fork. */
const both = (script: string) => Promise.all([output(one, script), output(two, script)])

verifies('fork.randomness', 'no source of randomness gives two forks the same', async () => {
  const script = `cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | od -An -tx1; head -c 16 /dev/random | od -An -tx1; cat /proc/self/auxv | tail -c 400 | od -An -tx1 | md5sum; mktemp -u XXXXXXXXXX; bash -c 'echo $RANDOM$RANDOM$RANDOM$RANDOM$SRANDOM'`
  const [left, right] = (await both(script)).map((text) => text.trim().split('\n'))
  assert.equal(left?.length, 7)
  for (const [index, line] of left?.entries() ?? []) assert.notEqual(line, right?.[index])
})

verifies('fork.identity', 'host name and machine id of two forks differ from each other and from ours', async () => {
  const script = 'hostname; cat /etc/hostname; cat /etc/machine-id; uname -n'
  const [left = [], right = []] = (await both(script)).map((text) => text.trim().split('\n'))
  assert.deepEqual([left[0], left[1], left[3]], [one.id, one.id, one.id])
  assert.deepEqual([right[0], right[1], right[3]], [two.id, two.id, two.id])
  assert.match(left[2] ?? '', /^[0-9a-f]{32}$/)
  assert.match(right[2] ?? '', /^[0-9a-f]{32}$/)
  assert.notEqual(left[2], right[2])
  assert.notEqual(left[0], hostname())
})

verifies('fork.identity', 'a guest resolves its own name without a network', async () => {
  assert.match(await output(one, 'getent hosts "$(hostname)"'), new RegExp(`^(127\\.|::1).*${one.id}`))
})

verifies('fork.clock-at-start', 'the first command of a fork sees the time of the host', async () => {
  const machine = await launch(home)
  const before = Date.now()
  const guest = Number(await output(machine, 'date +%s%3N'))
  const after = Date.now()
  assert.ok(guest > before - 1000 && guest < after + 1000, `the guest says ${guest}, the host ${before} to ${after}`)
  await machine[Symbol.asyncDispose]()
})

verifies('fork.no-network', 'lo is the only interface, there is no route, and nothing is reached', async () => {
  const [left] = await both('ls /sys/class/net; tail -n +2 /proc/net/route; (exec 3<>/dev/tcp/1.1.1.1/53) 2>/dev/null && echo reached || echo unreachable')
  assert.equal(left, 'lo\nunreachable\n')
})

verifies('fork.no-host', 'neither our processes nor our files are seen', async () => {
  const processes = await output(one, `for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done; cat /proc/mounts`)
  assert.match(processes, /\/bin\/sh -c/)
  assert.doesNotMatch(processes, /qemu|pyro-host|--test|9p|virtiofs|nfs/)
  assert.equal((await execute(one, ['/bin/ls', '-d', import.meta.filename])).exitCode, 2)
})

verifies('fork.independent', 'what one fork writes the other does not see, in any directory', async () => {
  const marks = '/workspace/mark /root/mark /etc/mark /tmp/mark /usr/bin/mark'
  await output(one, `for f in ${marks}; do echo one >$f; done; rm /etc/os-release`)
  assert.equal(await output(two, `ls ${marks} 2>/dev/null; ls /etc/os-release`), '/etc/os-release\n')
  const third = await launch(home)
  assert.equal(await output(third, `ls ${marks} 2>/dev/null; ls /etc/os-release`), '/etc/os-release\n')
  await third[Symbol.asyncDispose]()
})

verifies('private.directories', 'state and sockets are for their user alone', () => {
  const { machines, sockets, templates, seeds } = home.engine.paths
  for (const path of [machines, sockets, `${machines}/${one.id}`, `${sockets}/${one.id}`, templates, seeds]) {
    assert.equal(statSync(path).mode & 0o777, 0o700, path)
    assert.equal(statSync(path).uid, process.getuid?.())
  }
  assert.equal(statSync(`${machines}/${one.id}/disk.img`).mode & 0o077, 0)
})

verifies('fork.shape', 'the guest finds the CPUs and the memory that were asked for', async () => {
  for (const [machine, vcpuCount, memMib] of [
    [one, 1, 1024],
    [await launch(home, { shape: { vcpuCount: 2, memMib: 512 } }), 2, 512],
  ] as const) {
    const found = await output(machine, `nproc; awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo`)
    const [cpus, memory = 0] = found.trim().split('\n').map(Number)
    assert.equal(cpus, vcpuCount)
    assert.ok(memory > memMib * 0.85 && memory <= memMib, `${memory} MiB`)
  }
})

/** Long enough for a clock that is off by one part in a hundred to show. */
const watchedMs = 8000
const allowedDrift = 0.005

verifies('fork.clock-rate', 'over seconds the clocks of guest and host keep the same rate', async () => {
  const readings: { host: number; guest: number; took: number }[] = []
  const read = async () => {
    const sent = performance.now()
    const { realtimeNs, monotonicNs } = await one.guest.agent.ping({})
    const took = performance.now() - sent
    const host = performance.timeOrigin + sent + took / 2
    readings.push({ host, guest: Number(monotonicNs) / 1e6, took })
    return Number(realtimeNs) / 1e6 - host
  }
  const before = await read()
  const from = performance.now()
  const offset = await until('the same time again', async () => {
    const now = await read()
    return performance.now() - from > watchedMs ? now : undefined
  })
  // On a busy host an answer takes its time: the quickest of each end says when the guest's clock was read.
  const quarter = Math.ceil(readings.length / 4)
  const [first, last] = [readings.slice(0, quarter), readings.slice(-quarter)].map((end) => end.sort((a, b) => a.took - b.took)[0])
  assert.ok(first && last)
  const rate = (last.guest - first.guest) / (last.host - first.host)
  assert.ok(Math.abs(rate - 1) < allowedDrift, `the guest's clock runs at ${rate}`)
  assert.ok(Math.abs(offset) < 1000 && Math.abs(before) < 1000, `off by ${before} ms, later ${offset} ms`)
})
