import { once } from 'node:events'
import { PyroError } from '../contract/errors.ts'

/** A guest command's output on its way to the streams of the same names. */
export interface Passage {
  /** Resolves when there is room for more. */
  pass(stream: 'stdout' | 'stderr', data: Uint8Array): Promise<void>
  /** Writes a line of ours to stderr; on a terminal it starts at the left, whatever the command left there. */
  conclude(line: string): void
}

const newline = 0x0a

export function passage(): Passage {
  let open = false
  return {
    async pass(stream, data) {
      if (process[stream].isTTY && data.length > 0) open = data.at(-1) !== newline
      // One whose reader has gone never drains; what ends the work then is its error.
      if (!process[stream].write(data) && !process[stream].destroyed) await once(process[stream], 'drain')
    },
    conclude(line) {
      process.stderr.write(`${open && process.stderr.isTTY ? '\n' : ''}${line}\n`)
    },
  }
}

/** Our stdin, byte for byte, read as fast as it is taken. A terminal gives lines. */
export async function* stdinBytes(): AsyncIterable<Uint8Array> {
  try {
    yield* process.stdin
  } catch (cause) {
    throw new PyroError('invalid_argument', `stdin cannot be read: ${(cause as Error).message}`, { hint: 'give a file, a pipe or a terminal; without -i it is not read', cause })
  }
}
