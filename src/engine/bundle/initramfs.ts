import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cpioArchive, type CpioEntry } from './cpio.ts'

const mountPoints = ['dev', 'modules', 'proc', 'run', 'sys', 'tmp']

/**
 * The guest's first root: the agent as `/init`, the modules and the order in which to load them. Not compressed:
 * an emulated guest takes longer to unpack it than the host does to hand it over.
 */
export async function writeInitramfs(path: string, agent: string, kernelDirectory: string, modules: string[]): Promise<void> {
  const entries: CpioEntry[] = mountPoints.map((name) => ({ kind: 'directory', name, mode: 0o755 }))
  entries.push({ kind: 'file', name: 'init', mode: 0o755, content: await readFile(agent) })
  entries.push({ kind: 'file', name: 'modules.list', mode: 0o644, content: Buffer.from(modules.map((name) => `${name}\n`).join('')) })
  for (const name of modules) {
    entries.push({ kind: 'file', name: `modules/${name}`, mode: 0o644, content: await readFile(join(kernelDirectory, 'modules', name)) })
  }
  await writeFile(path, cpioArchive(entries))
}
