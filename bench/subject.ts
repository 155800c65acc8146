import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Engine } from '../src/engine/engine.ts'
import { launchMachine, resolveMachine, type ResolvedMachine } from '../src/engine/machine/launch.ts'
import { newMachineId } from '../src/engine/machine/start.ts'
import { resolvePaths } from '../src/host/paths.ts'
import type { FloorTemplate } from './floor.ts'

/** A static program that every Debian has: what is measured is not the dynamic linker. */
export const staticProgram = ['/sbin/ldconfig', '-V']

export const shape = { vcpuCount: 1, memMib: 1024 }
export const environment = 'debian:12-base'

export interface Subject {
  root: string
  engine: Engine
  resolved: ResolvedMachine
  floor: FloorTemplate
  /** 20,000 files, 200 MB. */
  tree: string
}

/** Installs and builds what the rows need, so that none of them pays for it. */
export async function prepareSubject(root: string): Promise<Subject> {
  const engine: Engine = { paths: resolvePaths(), env: process.env }
  const progress = ({ phase, detail }: { phase: string; detail?: string }) => console.error(`[${phase}] ${detail ?? ''}`)
  await (await launchMachine(engine, { id: newMachineId(), environment, shape, progress }))[Symbol.asyncDispose]()
  const resolved = await resolveMachine(engine, { environment, shape })
  const { template, source } = resolved
  execFileSync(join(root, 'bin/pyro'), ['--version'], { stdio: 'ignore' })
  return {
    root,
    engine,
    resolved,
    floor: {
      memory: template.memory,
      state: template.state,
      disk: template.disk,
      environmentImage: source.environment.rootfsImage,
      kernelImage: source.kernel.image,
      initramfs: source.kernel.initramfs,
      tscKhz: template.tscKhz,
      memMib: shape.memMib,
    },
    tree: makeTree(join(engine.paths.cache, 'bench', 'tree')),
  }
}

/** 200 directories of 100 files of about 10 kB, made once. */
function makeTree(path: string): string {
  if (existsSync(join(path, 'complete'))) return path
  for (let directory = 0; directory < 200; directory++) {
    mkdirSync(join(path, `d${directory}`), { recursive: true })
    for (let file = 0; file < 100; file++) {
      const descriptor = openSync(join(path, `d${directory}`, `f${file}.txt`), 'w')
      writeSync(descriptor, `${directory} ${file} `.repeat(1400))
      closeSync(descriptor)
    }
  }
  closeSync(openSync(join(path, 'complete'), 'w'))
  return path
}
