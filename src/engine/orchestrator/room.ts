import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { PyroError } from '../../contract/errors.ts'

/** What a machine needs beside its guest's memory: the VMM itself and what it translates. */
const vmmMib = 100
/** Forks share what their template has in memory, and few guests use all of theirs: this share of it counts. */
const usedShare = 0.5
/** Machines may take this share of the host's memory. */
const hostShare = 0.8
/** With less than this left, or a twentieth of all, the host is short of memory. */
const reserveMib = 512

/** A place taken by a machine, until disposed of. */
export type Place = Disposable

/** How many machines fit on this host. */
export class Room {
  readonly #places = new Map<Place, number>()
  readonly #limit: number
  readonly #budgetMib: number

  /** `PYRO_MAX_MACHINES` is the number of machines, whatever their size; memory bounds them otherwise. */
  constructor(env: NodeJS.ProcessEnv) {
    const given = env['PYRO_MAX_MACHINES']
    if (given && !/^[1-9]\d*$/.test(given)) throw new PyroError('invalid_argument', `PYRO_MAX_MACHINES must be positive, not '${given}'`, { hint: 'unset it, or give a number of machines' })
    this.#limit = given ? Number(given) : Infinity
    this.#budgetMib = given ? Infinity : (hostMemoryMib() * hostShare)
  }

  get taken(): number {
    return this.#places.size
  }

  fits(memMib: number): boolean {
    const used = [...this.#places.values()].reduce((sum, mib) => sum + mib, 0)
    return this.#places.size < this.#limit && used + cost(memMib) <= this.#budgetMib
  }

  /** How many machines of this size fit in all. */
  capacity(memMib: number): number {
    return Math.min(this.#limit, Math.floor(this.#budgetMib / cost(memMib)))
  }

  /** Whether it fits or not: whoever asks has made sure of that, or finds a machine that runs already. */
  take(memMib: number): Place {
    const place = { [Symbol.dispose]: () => void this.#places.delete(place) }
    this.#places.set(place, cost(memMib))
    return place
  }
}

function cost(memMib: number): number {
  return memMib * usedShare + vmmMib
}

/** What this process may use at most: the host's memory, or less in a container. */
function hostMemoryMib(): number {
  const limits = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'].map((file) => {
    try {
      return Number(readFileSync(file, 'utf8')) // "max" is none
    } catch {
      return Number.NaN
    }
  })
  return Math.min(totalmem(), ...limits.filter((limit) => limit > 0)) / 1024 ** 2
}

/** Whether the host has so little memory left that machines have to go. */
export function shortOfMemory(env: NodeJS.ProcessEnv): boolean {
  const reserve = Number(env['PYRO_MEMORY_RESERVE_MIB'] ?? Math.min(reserveMib, hostMemoryMib() / 20))
  try {
    const kib = Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1])
    return kib / 1024 < reserve
  } catch {
    return false
  }
}
