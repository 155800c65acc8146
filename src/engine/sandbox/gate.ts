/** One operation's stay in a sandbox. */
export interface Pass extends Disposable {
  /** Aborted when an operation that cannot wait for us needs the sandbox for itself. */
  readonly signal: AbortSignal
}

interface Waiter {
  exclusive: boolean
  admit: (pass: Pass) => void
}

/**
 * Lets operations that share a sandbox in together, and those that do not
 * alone, in the order in which they came. Who waits alone keeps later ones out,
 * so that it is not put off for ever.
 */
export class Gate {
  readonly #inside = new Map<Pass, AbortController>()
  readonly #waiting: Waiter[] = []
  #exclusive = false

  /** Whether nothing is inside and nothing waits. */
  get free(): boolean {
    return this.#inside.size === 0 && this.#waiting.length === 0
  }

  /** Waits to share. The wait ends with the caller's signal. */
  enter(signal?: AbortSignal): Promise<Pass> {
    return this.#wait(false, signal)
  }

  /** Waits to be alone; with `reason`, those inside are told to leave for it. */
  async enterAlone(signal?: AbortSignal, reason?: Error): Promise<Pass> {
    const admitted = this.#wait(true, signal)
    if (reason) for (const controller of this.#inside.values()) controller.abort(reason)
    return admitted
  }

  /** A pass to be alone if nothing is in the way now. */
  tryAlone(): Pass | undefined {
    return this.free ? this.#admit(true) : undefined
  }

  #wait(exclusive: boolean, signal: AbortSignal | undefined): Promise<Pass> {
    signal?.throwIfAborted()
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        exclusive,
        admit: (pass) => {
          signal?.removeEventListener('abort', leave)
          resolve(pass)
        },
      }
      const leave = () => {
        const at = this.#waiting.indexOf(waiter)
        if (at >= 0) this.#waiting.splice(at, 1)
        reject(signal?.reason)
        this.#next()
      }
      signal?.addEventListener('abort', leave, { once: true })
      this.#waiting.push(waiter)
      this.#next()
    })
  }

  #next(): void {
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      if (this.#exclusive || (first.exclusive && this.#inside.size > 0)) return
      this.#waiting.shift()
      first.admit(this.#admit(first.exclusive))
    }
  }

  #admit(exclusive: boolean): Pass {
    const controller = new AbortController()
    const pass: Pass = {
      signal: controller.signal,
      [Symbol.dispose]: () => {
        if (!this.#inside.delete(pass)) return
        if (exclusive) this.#exclusive = false
        this.#next()
      },
    }
    this.#inside.set(pass, controller)
    this.#exclusive = exclusive
    return pass
  }
}
