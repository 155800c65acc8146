import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { PyroError } from '../../contract/errors.ts'
import { now } from '../clock.ts'
import type { CallOptions } from '../engine.ts'
import type { Environment } from '../environment/environment.ts'
import type { LiveMachine } from '../machine/attach.ts'
import { startHostCompat } from '../machine/host-compat.ts'
import { type ResolvedMachine, resolveMachine, resolveUnlessNone } from '../machine/launch.ts'
import { openLink } from '../machine/link.ts'
import { gentleEndSeconds, type Lasting, newMachineId, startMachine } from '../machine/start.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import type { SandboxRow } from '../../store/rows.ts'
import { makeRoom } from '../orchestrator/make-room.ts'
import type { Seed } from '../seed/seed.ts'
import { pinned, type SandboxFiles, sandboxFiles } from './directory.ts'
import type { Live, Sandbox } from './sandbox.ts'
import { watch } from './watch.ts'

/** How long a machine whose owner is gone waits for another beyond its time to live. */
const graceSeconds = 600

/** What a sandbox's machine is made from: a template of its VMM, or this host. */
export type Ground = ResolvedMachine | { reason: string }

/** Finds out what the machine of a sandbox is forked from; builds what is missing. */
export async function groundOf(orchestrator: Orchestrator, row: SandboxRow, options: CallOptions): Promise<Ground> {
  const { environment, allowHostCompat, executionMode } = row
  const wanted = { environment, shape: { vcpuCount: row.vcpuCount, memMib: row.memMib }, pinned: pinnedEnvironment(orchestrator, row), ...options }
  // The mode is fixed once there is one: a workspace never moves from a guest to the host or back.
  if (executionMode === 'host_compat') return { reason: 'it was created on this host' }
  return allowHostCompat && executionMode === 'pending' ? resolveUnlessNone(orchestrator, wanted) : resolveMachine(orchestrator, wanted)
}

function pinnedEnvironment({ paths }: Orchestrator, row: SandboxRow): Environment | undefined {
  if (row.environmentDigest === null) return undefined
  const { environment: rootfsImage } = sandboxFiles(paths, row.id)
  return existsSync(rootfsImage) ? { name: row.environment, version: row.environmentVersion ?? '', digest: row.environmentDigest, rootfsImage } : undefined
}

interface StartOptions extends CallOptions {
  ground: Ground
  /** There is no disk yet. */
  blank: boolean
  /** The image that /workspace starts with. */
  seed?: string | undefined
  /** The same, for a machine on this host, which unpacks it. */
  hostSeed?: Seed | undefined
}

/**
 * Starts a machine on the sandbox's disk. It is on record before it exists, so
 * that whoever comes after us finds it. Whatever fails, no machine is left.
 */
export async function startLive(orchestrator: Orchestrator, sandbox: Sandbox, row: SandboxRow, { ground, blank, seed, hostSeed, signal }: StartOptions): Promise<Live> {
  const place = await makeRoom(orchestrator, row.memMib, sandbox)
  const machineId = newMachineId()
  const vmm = 'reason' in ground ? 'host' : ground.source.vmm.name
  try {
    orchestrator.store.insertMachine({ id: machineId, sandboxId: row.id, kind: 'sandbox', vmm, createdAt: now(), details: {} })
    const files = sandboxFiles(orchestrator.paths, row.id)
    const lasting = lastingOf(row, files, blank)
    const machine =
      'reason' in ground
        ? await startHostCompat(orchestrator, { id: machineId, seed: hostSeed, lasting, signal })
        : await startMachine({ id: machineId, ...ground, rootfs: pinned(files.environment, ground.source.environment.rootfsImage), seed, lasting, signal })
    return adoptLive(orchestrator, sandbox, machine, place)
  } catch (error) {
    place[Symbol.dispose]()
    orchestrator.store.deleteMachine(machineId)
    throw PyroError.from(error)
  }
}

/** The monitor's patience, which outlasts the guest's: that one ends the machine more gently. */
export function monitorLeaseSeconds({ ttlSeconds }: Pick<SandboxRow, 'ttlSeconds'>): number {
  return ttlSeconds + graceSeconds + gentleEndSeconds
}

export function lastingOf(row: Pick<SandboxRow, 'id' | 'ttlSeconds'>, { disk, lock }: SandboxFiles, blank: boolean): Lasting {
  return {
    disk,
    blank,
    lock,
    leaseSeconds: row.ttlSeconds + graceSeconds,
    hostname: row.id,
    systemId: createHash('sha256').update(row.id).digest('hex').slice(0, 32),
  }
}

/** Makes a machine that answers the sandbox's own. */
export function adoptLive(orchestrator: Orchestrator, sandbox: Sandbox, { machine, guest, vmm, variables }: Pick<LiveMachine, 'machine' | 'vmm' | 'variables'> & Partial<Pick<LiveMachine, 'guest'>>, place: Disposable, paused = false): Live {
  const live: Live = { machine, link: openLink(machine, guest), vmm: vmm.name, variables, paused, stalled: false, stallListeners: new Set(), leaving: false, released: false }
  sandbox.live = live
  watch(orchestrator, sandbox, live, place)
  return live
}
