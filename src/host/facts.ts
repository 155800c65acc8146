import { randomUUID } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { startHostProgram } from './program.ts'
import type { Paths } from './paths.ts'

/** Changes with every boot of the host; what was found out about hardware holds until then. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}

/** Names a file by what changes when it is replaced: enough to trust what was found out about it before. */
export function fileIdentity(path: string): string {
  const { size, mtimeNs, ino } = statSync(path, { bigint: true })
  return `${path}:${size}:${mtimeNs}:${ino}`
}

/** What was found out for `key`, if anything. */
export function recalled<T>(paths: Paths, name: string, key: string): { value: T } | undefined {
  try {
    const known = JSON.parse(readFileSync(factFile(paths, name), 'utf8')) as { key: string; value: T }
    return known.key === key ? known : undefined
  } catch {
    return undefined // not known yet, or not readable: to be found out again
  }
}

function factFile(paths: Paths, name: string): string {
  return join(paths.probes, `${name}.json`)
}

/** Finds something out once per `key`: remembered under `Paths.probes`, forgotten when the key changes. */
export async function remembered<T>(paths: Paths, name: string, key: string, findOut: () => Promise<T>): Promise<T> {
  const known = recalled<T>(paths, name, key)
  if (known) return known.value
  const value = await findOut()
  const file = factFile(paths, name)
  const partial = `${file}.${randomUUID()}`
  await mkdir(dirname(file), { recursive: true })
  await writeFile(partial, JSON.stringify({ key, value }))
  await rename(partial, file)
  return value
}

/** The host's TSC in kHz, measured once per boot: `cpu MHz` in /proc/cpuinfo is the current clock, not the TSC's. */
export function tscKhz(paths: Paths): Promise<number> {
  return remembered(paths, 'tsc', bootId(), async () => {
    await using program = startHostProgram(paths, ['tsc'], 'internal')
    return Number((await program.next('tsc'))['khz'])
  })
}
