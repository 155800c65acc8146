import { closeSync, fstatSync, mkdirSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export const outputStreams = ['stdout', 'stderr'] as const
export type StreamName = (typeof outputStreams)[number]

/** What is kept of one stream of one command: 64 MiB. */
export const keptBytes = 64 * 1024 ** 2

/** The name of a command's output in its sandbox's directory. */
export function outputFile(sequence: number, stream: StreamName): string {
  return `${String(sequence).padStart(6, '0')}.${stream}`
}

/** Keeps what a command writes, the first of it; a file is there once there is something to keep. */
export class OutputFiles implements Disposable {
  readonly #directory: string
  readonly #sequence: number
  readonly #open = new Map<StreamName, number>()
  readonly #kept: Record<StreamName, number>
  /** Nothing more is kept once something is missing. */
  #full = false

  constructor(directory: string, sequence: number) {
    this.#directory = directory
    this.#sequence = sequence
    this.#kept = { stdout: this.#size('stdout'), stderr: this.#size('stderr') }
  }

  /** Bytes kept so far. */
  kept(stream: StreamName): number {
    return this.#kept[stream]
  }

  /** Loses what does not fit any more, or on the host's disk: a full one must not end the command. */
  append(stream: StreamName, data: Uint8Array): void {
    const room = keptBytes - this.#kept[stream]
    if (room <= 0 || this.#full) return
    try {
      const wanted = Math.min(room, data.length)
      const written = writeSync(this.#file(stream), data, 0, wanted)
      this.#kept[stream] += written
      this.#full = written < wanted
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      this.#full = true
    }
  }

  [Symbol.dispose](): void {
    for (const file of this.#open.values()) closeSync(file)
    this.#open.clear()
  }

  #file(stream: StreamName): number {
    let file = this.#open.get(stream)
    if (file === undefined) {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
      file = openSync(join(this.#directory, outputFile(this.#sequence, stream)), 'a', 0o600)
      this.#open.set(stream, file)
    }
    return file
  }

  #size(stream: StreamName): number {
    return statSync(join(this.#directory, outputFile(this.#sequence, stream)), { throwIfNoEntry: false })?.size ?? 0
  }
}

/** At most `limit` bytes of what was kept, from `offset` on. */
export function readOutput(directory: string, sequence: number, stream: StreamName, offset: number, limit: number): Buffer {
  let file: number
  try {
    file = openSync(join(directory, outputFile(sequence, stream)), 'r')
  } catch {
    return Buffer.alloc(0) // it wrote nothing
  }
  try {
    const buffer = Buffer.alloc(Math.max(0, Math.min(limit, fstatSync(file).size - offset)))
    return buffer.subarray(0, readSync(file, buffer, 0, buffer.length, offset))
  } finally {
    closeSync(file)
  }
}
