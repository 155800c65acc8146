import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from './paths.ts'

/** Put in when the command line is bundled. */
declare const PYRO_BUILD: string | undefined

/** Whether this runs from the bundle in `dist/cli/` rather than from sources. */
export function isBundled(): boolean {
  return typeof PYRO_BUILD === 'string'
}

let worked: string | undefined

/** Names the code that runs: `<newest change of the sources, in ms since the epoch>-<8 hex digits of their hash>`. */
export function buildId(): string {
  return typeof PYRO_BUILD === 'string' ? PYRO_BUILD : (worked ??= buildIdOfSources())
}

/** Works the build id out from the sources of this checkout. */
export function buildIdOfSources(): string {
  const sources = join(packageRoot(), 'src')
  const names = readdirSync(sources, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .sort()
  const hash = createHash('sha256')
  let newest = 0
  for (const name of names) {
    const path = join(sources, name)
    newest = Math.max(newest, Math.floor(statSync(path).mtimeMs))
    hash.update(`${name}\0`).update(readFileSync(path)).update('\0')
  }
  return `${newest}-${hash.digest('hex').slice(0, 8)}`
}

/** Whether build `a` was made from newer sources than `b`. Of two made from sources of the same time one is, so that they agree on which gives way. */
export function isNewerBuild(a: string, b: string): boolean {
  const [timeA = '', hashA = ''] = a.split('-')
  const [timeB = '', hashB = ''] = b.split('-')
  return Number(timeA) === Number(timeB) ? hashA > hashB : Number(timeA) > Number(timeB)
}
