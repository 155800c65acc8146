import { readdir } from 'node:fs/promises'
import { reap } from '../../host/program.ts'
import type { Paths } from '../../host/paths.ts'

/** Removes what machines left whose monitor was killed: directories whose lock nobody holds. Those that are known to be alive are no reason to look. */
export async function removeLeftovers(paths: Paths, alive: ReadonlySet<string>): Promise<void> {
  const roots = [paths.machines, paths.sockets]
  const entries = await Promise.all(roots.map((root) => readdir(root).catch(() => [])))
  if (entries.flat().some((name) => !alive.has(name))) await reap(paths, roots)
}
