import type { SandboxRow } from '../../store/rows.ts'

type Given = Pick<SandboxRow, 'kind' | 'name' | 'labels' | 'environment' | 'environmentVersion' | 'vcpuCount' | 'memMib' | 'ttlSeconds' | 'networkPolicy' | 'allowHostCompat' | 'createdAt'>

/** The record of a sandbox that is not there yet. */
export function newDraft(given: Given): Omit<SandboxRow, 'id'> {
  const { createdAt, ttlSeconds } = given
  return {
    ...given,
    environmentDigest: null,
    lastActivityAt: createdAt,
    expiresAt: createdAt + ttlSeconds,
    state: 'created',
    paused: false,
    stoppedBy: null,
    error: null,
    executionMode: 'pending',
    vmm: null,
    machineId: null,
    seed: { mode: 'empty', seed_path: null, origin_kind: 'empty', origin_ref: null, git_tracked_only: false, destination: '/workspace', entry_count: 0, bytes_written: 0 },
    seedDigest: null,
    epoch: 0,
    sequence: 0,
    checkpoint: 0,
    resetCount: 0,
    lastResetAt: null,
    retentionDueAt: null,
    cleanStop: false,
  }
}
