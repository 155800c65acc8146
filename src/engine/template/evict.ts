import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { reap } from '../../host/program.ts'
import type { Paths } from '../../host/paths.ts'

/** Templates may take this much disk together: some sixty of the usual size. */
const limitBytes = 12 * 1024 ** 3

/** Removes the least recently used templates beyond the limit, except `keep` and those that a machine uses. */
export async function evictTemplates(paths: Paths, keep: string): Promise<string[]> {
  const names = await readdir(paths.templates, { withFileTypes: true })
  const partial = names.filter((entry) => entry.name.startsWith('.partial-')).map((entry) => join(paths.templates, entry.name))
  const templates = []
  for (const entry of names) {
    if (!entry.isDirectory() || entry.name.startsWith('.')) continue
    const directory = join(paths.templates, entry.name)
    const used = await stat(join(directory, 'lock')).catch(() => undefined)
    templates.push({ directory, name: entry.name, usedAt: used?.mtimeMs ?? 0, bytes: await allocatedBytes(directory) })
  }
  templates.sort((a, b) => b.usedAt - a.usedAt)
  let total = 0
  const surplus: string[] = []
  for (const { directory, name, bytes } of templates) {
    total += bytes
    if (total > limitBytes && name !== keep) surplus.push(directory)
  }
  return partial.length + surplus.length > 0 ? reap(paths, [...partial, ...surplus]) : []
}

async function allocatedBytes(directory: string): Promise<number> {
  let blocks = 0
  for (const name of await readdir(directory)) blocks += (await stat(join(directory, name))).blocks
  return blocks * 512
}
