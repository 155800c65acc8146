import type { OutputOf } from '../../contract/operation.ts'
import type { statusVm } from '../../contract/vms.ts'
import type { SandboxRow } from '../../store/rows.ts'

type Vm = OutputOf<typeof statusVm>

/** A throwaway VM as the contract tells it. */
export function vmPayload(row: SandboxRow): Vm {
  return {
    vm_id: row.id,
    environment: row.environment,
    environment_version: row.environmentVersion,
    vcpu_count: row.vcpuCount,
    mem_mib: row.memMib,
    ttl_seconds: row.ttlSeconds,
    created_at: row.createdAt,
    expires_at: row.expiresAt,
    state: row.state,
    network_enabled: false,
    allow_host_compat: row.allowHostCompat,
    guest_ip: null,
    tap_name: null,
    execution_mode: row.executionMode as Vm['execution_mode'],
    metadata: Object.fromEntries(Object.entries({ vmm: row.vmm, environment_digest: row.environmentDigest, error: row.error }).filter((entry): entry is [string, string] => entry[1] !== null)),
  }
}
