import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, openSync, rmSync, writeSync } from 'node:fs'

/** Room for a few transactions and what a delete notes on its way. */
const reserveBytes = 1024 * 1024

export interface Reserve {
  /** Takes the space when it is not taken; on a full disk it stays as it is. */
  take(): void
  /** Gives the space up while the function works. */
  without<T>(work: () => T | Promise<T>): Promise<T>
}

/** Space on the disk that nobody else gets, held by a file. */
export function reserveOf(path: string): Reserve {
  let given = 0
  const take = () => {
    if (given > 0 || existsSync(path)) return
    try {
      fill(path)
    } catch {
      rmSync(path, { force: true })
    }
  }
  return {
    take,
    async without(work) {
      given += 1
      try {
        rmSync(path, { force: true })
        return await work()
      } finally {
        given -= 1
        take()
      }
    },
  }
}

/** Random, so that a file system that compresses or leaves out zeros gives the space too. */
function fill(path: string): void {
  const file = openSync(path, 'wx', 0o600)
  try {
    const bytes = randomBytes(reserveBytes)
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written)
  } finally {
    closeSync(file)
  }
}
