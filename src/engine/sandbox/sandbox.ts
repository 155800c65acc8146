import type { VmmName } from '../../vmm/vmm.ts'
import type { Machine } from '../../vmm/vmm.ts'
import type { GuestLink } from '../machine/link.ts'
import type { RunningCommand } from './running-command.ts'
import { Gate } from './gate.ts'

/** The machine that a sandbox has now. */
export interface Live {
  readonly machine: Machine
  readonly link: GuestLink
  readonly vmm: VmmName | 'host'
  /** The environment of every command, before what its caller adds. */
  readonly variables: Record<string, string>
  /** Its vCPUs stand still. */
  paused: boolean
  /** The host's disk is full under it: it waits for space. */
  stalled: boolean
  /** Those who want to know when that happens. */
  readonly stallListeners: Set<() => void>
  /** We are ending it, or let go of it: its end is no news. */
  leaving: boolean
  /** We let go of it, and it goes on. */
  released: boolean
}

/**
 * What has a disk and at most one machine: a workspace, or a throwaway VM. This
 * is the part of it that lives in the owner's memory; the rest is its row in the store.
 */
export class Sandbox {
  readonly id: string
  readonly gate = new Gate()
  /** Commands under way, by sequence. */
  readonly commands = new Map<number, RunningCommand>()
  live: Live | undefined
  /** The machine being started or woken; those who need it wait together. */
  waking: Promise<Live> | undefined
  /** The checkpoint after the last change; the next change waits for it. */
  checkpoint: Promise<void> | undefined
  /** Another one is to follow the one under way. */
  checkpointAgain = false
  /** Operations under way that keep it awake. */
  uses = 0
  /** When it was last used, in milliseconds of the monotonic clock. */
  usedAt = performance.now()
  idleTimer: NodeJS.Timeout | undefined

  constructor(id: string) {
    this.id = id
  }
}
