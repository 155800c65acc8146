import type { ServerResponse } from 'node:http'
import { PyroError } from '../../contract/errors.ts'
import { framesOf, type Log } from './log.ts'

/** A call that the daemon has taken on. */
export interface RunningCall extends Disposable {
  readonly name: string
  /** Aborted when its client goes, or when the daemon cannot wait for it any longer. */
  readonly signal: AbortSignal
  /** From here on it goes on without its client, who finds it again. */
  mayBeCut(): void
  /** How it went, for the log. */
  failed(error: PyroError): void
}

interface Entry {
  abort: AbortController
  cuttable: boolean
  response: ServerResponse
}

/** The calls in progress. */
export class Calls {
  readonly #entries = new Set<Entry>()
  readonly #log: Log
  readonly #first = Promise.withResolvers<void>()
  #idleSince = performance.now()
  #emptied = () => {}
  #ending = false

  constructor(log: Log) {
    this.#log = log
  }

  /** Resolves when the first one comes. */
  get first(): Promise<void> {
    return this.#first.promise
  }

  get count(): number {
    return this.#entries.size
  }

  /** When the last one ended, in milliseconds of the monotonic clock; undefined while there are any. */
  idleSince(): number | undefined {
    return this.#entries.size === 0 ? this.#idleSince : undefined
  }

  begin(name: string, response: ServerResponse): RunningCall {
    const entry: Entry = { abort: new AbortController(), cuttable: false, response }
    const begun = performance.now()
    let outcome = 'done'
    this.#entries.add(entry)
    this.#first.resolve()
    response.once('close', () => {
      if (!response.writableFinished) entry.abort.abort(new PyroError('canceled', 'the client went away'))
    })
    return {
      name,
      signal: entry.abort.signal,
      mayBeCut: () => {
        entry.cuttable = true
        if (this.#ending) response.destroy()
      },
      failed: (error) => {
        outcome = error.code
        if (error.code === 'internal') this.#log('fault', { call: name, at: framesOf(error.cause ?? error) })
      },
      [Symbol.dispose]: () => {
        this.#entries.delete(entry)
        this.#idleSince = performance.now()
        this.#log('call', { name, outcome, ms: Math.round(this.#idleSince - begun) })
        if (this.#entries.size === 0) this.#emptied()
      },
    }
  }

  /** Cuts those that are found again by their clients, waits so long for the others, aborts them, waits so long again, and cuts the rest. */
  async end(graceMs: number): Promise<void> {
    this.#ending = true
    for (const { cuttable, response } of this.#entries) if (cuttable) response.destroy()
    await this.#empty(graceMs)
    for (const { abort } of this.#entries) abort.abort(new PyroError('daemon_failed', 'the daemon was asked to leave'))
    await this.#empty(graceMs)
    for (const { response } of this.#entries) response.destroy()
  }

  async #empty(withinMs: number): Promise<void> {
    if (this.#entries.size === 0) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, withinMs)
      this.#emptied = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
