import { closeSync, copyFileSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs'

/** The log and the one before it have at most so many bytes each: 1 MiB. */
const longest = 1024 ** 2

/** Says what happened: names, codes and numbers, never what a caller gave. */
export type Log = (event: string, fields?: Record<string, string | number | undefined>) => void

/**
 * Appends to a file. It is emptied in its place once it is full, since our stdout and stderr lead there as well; its content
 * goes to `<path>.1`.
 */
export function openLog(path: string): Log {
  const file = openSync(path, 'a', 0o600)
  process.once('exit', () => closeSync(file))
  return (event, fields = {}) => {
    const said = Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]))
    try {
      if (fstatSync(file).size > longest) {
        copyFileSync(path, `${path}.1`)
        ftruncateSync(file)
      }
      writeSync(file, `${[new Date().toISOString(), process.pid, event, ...said].join(' ')}\n`)
    } catch {
      // A full disk must not end us.
    }
  }
}

/** Where an error comes from, without its message: that may hold what a caller gave. */
export function framesOf(error: unknown): string {
  const { name = 'Error', stack = '' } = error as Error
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line))
  return [name, ...frames.map((line) => line.trim())].join(' ')
}
