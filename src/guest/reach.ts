import type { Socket } from 'node:net'
import { PyroError } from '../contract/errors.ts'
import { connectGuest, type Guest } from './client.ts'

/** An agent that hears us answers in a tenth of this, unless its host has no time to spare. */
const firstPatienceMs = 500

interface ReachOptions {
  timeoutMs: number
  signal?: AbortSignal | undefined
}

/**
 * Connects to the agent of a machine that somebody may have talked to before.
 * A QEMU whose guest writes at the moment when a client leaves can miss that
 * it left: it takes in what the next client sends, but holds back what the
 * guest answers until that client leaves, too. So one that gets no answer
 * dials again, with twice the patience. Nothing has been asked of the agent by then.
 */
export async function reachGuest(dial: () => Promise<Socket>, { timeoutMs, signal }: ReachOptions): Promise<Guest> {
  const deadline = Date.now() + timeoutMs
  for (let patience = firstPatienceMs; ; patience *= 2) {
    const left = deadline - Date.now()
    const last = patience * 2 >= left
    const socket = await dial()
    try {
      return await connectGuest(socket, { timeoutMs: last ? left : patience, signal })
    } catch (error) {
      if (last || signal?.aborted || !(error instanceof PyroError) || error.code !== 'guest_unresponsive') throw error
    }
  }
}
