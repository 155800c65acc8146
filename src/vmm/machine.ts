import { PyroError } from '../contract/errors.ts'
import type { Monitored } from './monitor.ts'
import type { Machine } from './vmm.ts'

/** What a VMM can do with a machine that runs. */
export type Moves = Pick<Machine, 'pausable' | 'pause' | 'resume' | 'isPaused' | 'exchange' | 'onStalled'>

interface Options {
  id: string
  /** The VMM's own. */
  pid: number
  monitored: Monitored
  detached: boolean
  moves: Moves
  /** Closes what else is open to the machine; done before it is let go of or ended. */
  close?: () => void
}

/** A monitored process as a machine. */
export function machineOf({ id, pid, monitored, detached, moves, close = () => {} }: Options): Machine {
  return {
    ...moves,
    id,
    pid,
    dialControl: () => monitored.dial('control'),
    ended: monitored.ended,
    renewLease: (seconds) => monitored.renewLease(seconds),
    release() {
      if (!detached) throw new PyroError('internal', `machine ${id} ends with us and cannot be left to itself`)
      close()
      monitored.release()
    },
    async [Symbol.asyncDispose]() {
      close()
      await monitored[Symbol.asyncDispose]()
    },
  }
}
