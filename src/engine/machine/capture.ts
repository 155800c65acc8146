/** What a result keeps of one stream: its beginning, up to a limit, and how much there was in all. */
export class Capture {
  readonly #limit: number
  readonly #chunks: Uint8Array[] = []
  #kept = 0
  /** Bytes seen. */
  bytes = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  add(data: Uint8Array): void {
    this.bytes += data.length
    const room = this.#limit - this.#kept
    if (room <= 0) return
    // A copy: the chunk may be a view into a larger buffer that would be kept alive.
    const kept = Uint8Array.from(data.subarray(0, room))
    this.#chunks.push(kept)
    this.#kept += kept.length
  }

  get truncated(): boolean {
    return this.bytes > this.#kept
  }

  /** What is not UTF-8 becomes replacement characters. */
  text(): string {
    const text = Buffer.concat(this.#chunks).toString('utf8')
    return this.truncated ? text.replace(/\uFFFD$/, '') : text // a character cut in two by the limit
  }
}

/** The fields of a result that hold a command's output. */
export function capturedFields({ stdout, stderr }: Record<'stdout' | 'stderr', Capture>) {
  return {
    stdout: stdout.text(),
    stderr: stderr.text(),
    stdout_bytes: stdout.bytes,
    stderr_bytes: stderr.bytes,
    stdout_truncated: stdout.truncated,
    stderr_truncated: stderr.truncated,
  }
}
