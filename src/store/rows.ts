import type { z } from 'zod'
import type { workspaceSeed } from '../contract/workspaces.ts'

/** What a workspace starts with, as the contract tells it. */
export type WorkspaceSeed = z.infer<typeof workspaceSeed>

/** A workspace, or a throwaway VM of the `vm_*` calls. Times are seconds since the epoch, with fraction. */
export interface SandboxRow {
  id: string
  kind: 'workspace' | 'vm'
  name: string | null
  labels: Record<string, string>
  environment: string
  environmentVersion: string | null
  /** Digest of the environment's image that its disk belongs to; null until it is known. */
  environmentDigest: string | null
  vcpuCount: number
  memMib: number
  ttlSeconds: number
  createdAt: number
  lastActivityAt: number
  expiresAt: number
  state: 'created' | 'started' | 'stopped'
  /** Its machine is there, but uses no CPU; only while `state` is `started`. */
  paused: boolean
  stoppedBy: 'user' | 'memory' | 'host' | 'vmm' | null
  /** What went wrong with it last, for people. */
  error: string | null
  networkPolicy: string
  allowHostCompat: boolean
  executionMode: string
  vmm: string | null
  machineId: string | null
  seed: WorkspaceSeed
  /** Digest of the seed image; null for an empty seed. */
  seedDigest: string | null
  /** Advanced by a reset: commands and events of earlier ones are not shown. */
  epoch: number
  /** Number of the last command; 0 before the first. */
  sequence: number
  /** Number of the last checkpoint of its disk; 0 before the first. */
  checkpoint: number
  resetCount: number
  lastResetAt: number | null
  retentionDueAt: number | null
  /** Its disk was unmounted when its machine ended. */
  cleanStop: boolean
}

/** Everything but what makes it the same sandbox. */
export type SandboxChanges = Partial<Omit<SandboxRow, 'id' | 'kind'>>

/** A machine that was or is about to be spawned. */
export interface MachineRow {
  id: string
  /** Null for one that waits for a sandbox. */
  sandboxId: string | null
  kind: 'sandbox' | 'warm'
  vmm: string
  createdAt: number
  details: Record<string, unknown>
}

export interface CommandRow {
  sandboxId: string
  epoch: number
  /** 1 is the first of its epoch. */
  sequence: number
  execId: string
  machineId: string
  command: string
  cwd: string
  /** `lost`: its machine died before its end was known. */
  state: 'running' | 'ended' | 'lost'
  exitCode: number | null
  timedOut: boolean
  durationMs: number
  executionMode: string
  recordedAt: number
  stdoutBytes: number
  stderrBytes: number
  /** 0 for no limit. */
  timeoutSeconds: number
}

/** What a command is known by before it runs. */
export interface NewCommand extends Pick<CommandRow, 'execId' | 'machineId' | 'command' | 'cwd' | 'executionMode' | 'recordedAt' | 'timeoutSeconds'> {
  /** The sandbox's new `expiresAt`; the old one stays when left out. */
  expiresAt?: number
}

export interface CommandEnd extends Pick<CommandRow, 'exitCode' | 'timedOut' | 'durationMs' | 'stdoutBytes' | 'stderrBytes'> {
  state: 'ended' | 'lost'
}

export interface EventRow {
  /** Grows with every event of the store. */
  id: number
  /** Null for what outlives its sandbox, such as a deletion. */
  sandboxId: string | null
  epoch: number
  kind: string
  recordedAt: number
  payload: Record<string, unknown>
}

/** Something half done that spans store, disk and guest: finished or undone by whoever finds it open. */
export interface IntentRow {
  id: string
  sandboxId: string
  /** `create`, `start`, `stop`, `delete`, … */
  kind: string
  payload: Record<string, unknown>
  createdAt: number
}
