import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root, run, tool } from './run.ts'

/** What the generators write, by path. */
async function generated(): Promise<Map<string, string>> {
  const paths = globSync(['src/guest/gen/**/*.ts', 'native/gen/**/*.go'], { cwd: root }).sort()
  return new Map(await Promise.all(paths.map(async (path) => [path, await readFile(join(root, path), 'utf8')] as const)))
}

export async function generate(): Promise<void> {
  await Promise.all(['src/guest/gen', 'native/gen'].map((path) => rm(join(root, path), { recursive: true, force: true })))
  const code = await run(tool('buf'), ['generate'])
  if (code !== 0) throw new Error(`buf generate ended with ${code}`)
}

/** Generates anew and tells which committed files were not what the protocol says. */
export async function staleFiles(): Promise<string[]> {
  const before = await generated()
  await generate()
  const after = await generated()
  return [...new Set([...before.keys(), ...after.keys()])].filter((path) => before.get(path) !== after.get(path))
}

if (import.meta.main) {
  await generate()
  await promisify(execFile)('gofmt', ['-l', 'native/gen'], { cwd: root })
}
