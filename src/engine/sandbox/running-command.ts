import type { StreamName } from './command-files.ts'

/** A command under way, for those who look on while it runs. */
export class RunningCommand {
  readonly bytes: Record<StreamName, number> = { stdout: 0, stderr: 0 }
  over = false
  #changed = Promise.withResolvers<void>()

  /** Resolves at the next output, or at the end. */
  get changed(): Promise<void> {
    return this.#changed.promise
  }

  grew(stream: StreamName, bytes: number): void {
    this.bytes[stream] += bytes
    this.#wake()
  }

  end(): void {
    this.over = true
    this.#wake()
  }

  #wake(): void {
    const { resolve } = this.#changed
    this.#changed = Promise.withResolvers()
    resolve()
  }
}
