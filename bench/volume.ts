import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { exec } from '../src/engine/machine/exec.ts'
import type { LiveMachine } from '../src/engine/machine/attach.ts'
import { ensureSeed } from '../src/engine/seed/seed.ts'
import { startFork } from './forks.ts'
import type { Row } from './statistics.ts'
import type { Subject } from './subject.ts'

const mib = 1024 ** 2
const outputBytes = Number(process.env['PYRO_BENCH_OUTPUT_GB'] ?? 10) * 1e9
const fileBytes = 1024 * mib

/** How much our own process and the agent grew at most while something large went through. */
async function growth(machine: LiveMachine, work: () => Promise<unknown>): Promise<{ host: number; agent: number }> {
  const agentBytes = async () => Number((await machine.guest.agent.ping({})).residentBytes)
  globalThis.gc?.()
  const before = { host: process.memoryUsage.rss(), agent: await agentBytes() }
  const most = { ...before }
  const ended = work().then(() => 'ended' as const)
  do {
    most.host = Math.max(most.host, process.memoryUsage.rss())
    most.agent = Math.max(most.agent, await agentBytes())
  } while ((await Promise.race([ended, delay(250)])) !== 'ended')
  return { host: (most.host - before.host) / mib, agent: (most.agent - before.agent) / mib }
}

export async function volumeRows(subject: Subject): Promise<Row[]> {
  await using machine = await startFork(subject)
  // What a first small transfer loads and warms is not what volume costs.
  await output(machine, 64 * mib)
  const rows = [
    row(`${outputBytes / 1e9} GB through stdout`, await growth(machine, () => output(machine, outputBytes))),
    row('1 GiB file in', await growth(machine, () => writeFile(machine))),
    row('1 GiB file out', await growth(machine, () => readFile(machine))),
  ].flat()
  return [...rows, await seedRow(subject)]
}

function row(what: string, { host, agent }: { host: number; agent: number }): Row[] {
  const limit = { unit: 'MiB' as const, floor: 64, floorText: 'limit', limit: 1 }
  return [
    { what: `${what}: our process grew by`, samples: [host], ...limit },
    { what: `${what}: the agent grew by`, samples: [agent], ...limit },
  ]
}

async function output({ guest }: LiveMachine, bytes: number): Promise<void> {
  let received = 0
  const argv = ['/usr/bin/dd', 'if=/dev/zero', 'bs=1M', `count=${Math.ceil(bytes / mib)}`, 'status=none']
  await exec(guest, { argv, cwd: '/', env: {}, timeoutMs: 0, onOutput: (_, data) => void (received += data.length) })
  if (received < bytes) throw new Error(`only ${received} of ${bytes} bytes came`)
}

async function writeFile({ guest }: LiveMachine): Promise<void> {
  const chunk = new Uint8Array(64 * 1024).fill(7)
  await guest.agent.writeFile(
    (async function* () {
      yield { path: '/workspace/large' }
      for (let sent = 0; sent < fileBytes; sent += chunk.length) yield { data: chunk }
    })(),
  )
}

async function readFile({ guest }: LiveMachine): Promise<void> {
  let received = 0
  for await (const { data } of guest.agent.readFile({ path: '/workspace/large' })) received += data.length
  if (received !== fileBytes) throw new Error(`${received} of ${fileBytes} bytes came back`)
}

/** The packer is a process of its own: its peak is read from the kernel's account of it. */
async function seedRow({ engine }: Subject): Promise<Row> {
  const tree = join(engine.paths.cache, 'bench', 'large')
  if (!existsSync(join(tree, 'data'))) {
    mkdirSync(tree, { recursive: true })
    const file = openSync(join(tree, 'data'), 'w')
    const chunk = Buffer.alloc(mib)
    for (let i = 0; i < 1024; i++) {
      chunk.writeUInt32LE(i)
      writeSync(file, chunk)
    }
    ftruncateSync(file, fileBytes)
    closeSync(file)
  }
  let peak = 0
  const packing = ensureSeed(engine.paths, { kind: 'directory', path: tree }, { progress: () => (peak = Math.max(peak, packerPeakMib())) })
  const { path } = await packing
  rmSync(join(path, '..'), { recursive: true })
  return { what: '1 GiB seed: the packer held at most', samples: [peak], unit: 'MiB', floor: 64, floorText: 'limit', limit: 1 }
}

function packerPeakMib(): number {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ').filter(Boolean)
  return Math.max(0, ...children.map((pid) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024))
}
