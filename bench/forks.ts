import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { exec } from '../src/engine/machine/exec.ts'
import type { LiveMachine } from '../src/engine/machine/attach.ts'
import { newMachineId, startMachine } from '../src/engine/machine/start.ts'
import { guestVariables, workspacePath } from '../src/engine/machine/variables.ts'
import { ensureSeed, type Seed } from '../src/engine/seed/seed.ts'
import { bareFork } from './floor.ts'
import { median, type Row, timed } from './statistics.ts'
import { staticProgram, type Subject } from './subject.ts'

const samples = 20

export function startFork({ resolved }: Subject, seed?: Seed): Promise<LiveMachine> {
  return startMachine({ id: newMachineId(), ...resolved, seed: seed?.path })
}

/** Resolves to the milliseconds that the agent needed for it, from taking up the call to its last event. */
export async function runStatic({ guest }: LiveMachine): Promise<number> {
  const { exitCode, handledUs } = await exec(guest, { argv: staticProgram, cwd: workspacePath, env: guestVariables, timeoutMs: 0, onOutput: () => {} })
  if (exitCode !== 0) throw new Error(`${staticProgram.join(' ')} exited with ${exitCode}`)
  return handledUs / 1000
}

async function createAndRun(subject: Subject, seed?: Seed): Promise<number> {
  const start = performance.now()
  await using machine = await startFork(subject, seed)
  await runStatic(machine)
  return performance.now() - start
}

/** Floor and product in turn, so that a change of the machine's speed hits both. */
export async function forkRows(subject: Subject): Promise<Row[]> {
  const { engine, tree, floor: template } = subject
  const seedOptions = { kind: 'directory' as const, path: tree }
  const packing: number[] = []
  const floorPacking: number[] = []
  for (let i = 0; i < 3; i++) {
    const image = join(engine.paths.cache, 'bench', 'tree.sqfs')
    rmSync(image, { force: true })
    floorPacking.push(await timed(async () => execFileSync('mksquashfs', [tree, image, '-quiet', '-no-progress', '-noappend', '-noI', '-noD', '-noF', '-noX', '-all-root'])))
    rmSync(image)
    const packed = await ensureSeed(engine.paths, seedOptions)
    rmSync(join(packed.path, '..'), { recursive: true })
    packing.push(await timed(() => ensureSeed(engine.paths, seedOptions)))
  }
  const seed = await ensureSeed(engine.paths, seedOptions)

  const floor: number[] = []
  const cold: number[] = []
  const seeded: number[] = []
  for (let i = 0; i < samples; i++) {
    floor.push(await bareFork(template, staticProgram))
    cold.push(await createAndRun(subject))
    seeded.push(await createAndRun(subject, seed))
  }

  const open: number[] = []
  const agentTime: number[] = []
  {
    await using machine = await startFork(subject)
    await runStatic(machine)
    for (let i = 0; i < 5 * samples; i++) open.push(await timed(async () => void agentTime.push(await runStatic(machine))))
  }

  const atOnce: number[] = []
  for (let i = 0; i < 3; i++) atOnce.push(await timed(() => Promise.all(Array.from({ length: 10 }, () => createAndRun(subject)))))

  const floorText = 'bare fork, no product code'
  return [
    { what: 'create, static program, cold fork', samples: cold, unit: 'ms', floor: median(floor), floorText, limit: 1.6 },
    { what: '… with a packed seed of 20,000 files', samples: seeded, unit: 'ms', floor: median(floor), floorText, limit: 1.7 },
    { what: 'packing that seed', samples: packing, unit: 'ms', floor: median(floorPacking), floorText: 'mksquashfs', limit: 1.5 },
    { what: 'static program, open machine', samples: open, unit: 'ms', floor: median(agentTime), floorText: "the agent's own time", limit: 1.3 },
    { what: '10 forks at once', samples: atOnce, unit: 'ms', floor: median(cold), floorText: 'one', limit: 10 },
  ]
}
