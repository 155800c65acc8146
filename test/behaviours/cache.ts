import { cpSync, mkdirSync, mkdtempSync, symlinkSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { resolvePaths } from '../../src/host/paths.ts'

const parts = ['environments', 'runtime', 'templates', 'seeds'] as const
type Part = (typeof parts)[number]

/** A value for XDG_CACHE_HOME: the ordinary cache, except for some parts that are empty and belong to the test. */
export function ownCache(...own: Part[]): string {
  const home = mkdtempSync(join(tmpdir(), 'pyro-cache-'))
  after(() => rm(home, { recursive: true, force: true }))
  const { cache } = resolvePaths()
  const copy = join(home, 'pyro-mcp')
  mkdirSync(copy, { mode: 0o700 })
  for (const part of parts) {
    if (!own.includes(part)) symlinkSync(join(cache, part), join(copy, part))
  }
  // What was found out about files and hardware, so that nothing has to be measured again.
  cpSync(join(cache, 'probes'), join(copy, 'probes'), { recursive: true })
  return home
}
