import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root, run, tool } from './run.ts'

const generatedFiles = ['src/guest/gen/**/*.ts', 'native/gen/**/*.go']

/** Writes the code that follows from `proto/` below `directory`. */
async function generate(directory: string): Promise<void> {
  const code = await run(tool('buf'), ['generate', '--output', directory])
  if (code !== 0) throw new Error(`buf generate ended with ${code}`)
}

/** Generates aside, and tells which files here are not what the protocol says. */
export async function staleFiles(): Promise<string[]> {
  const aside = mkdtempSync(join(tmpdir(), 'pyro-generate-'))
  try {
    await generate(aside)
    const [here, there] = [root, aside].map((cwd) => new Map(globSync(generatedFiles, { cwd }).map((path) => [path, readFileSync(join(cwd, path), 'utf8')])))
    const paths = new Set([...(here?.keys() ?? []), ...(there?.keys() ?? [])])
    return [...paths].filter((path) => here?.get(path) !== there?.get(path)).map((path) => `${path} is not current: npm run generate`)
  } finally {
    rmSync(aside, { recursive: true })
  }
}

if (import.meta.main) await generate(root)
