import { z } from 'zod'
import { allowHostCompat, command, environmentName, executionMode, memMib, network, timeoutSeconds, ttlSeconds, vcpuCount, vmDelete } from './fields.ts'
import { operation } from './operation.ts'
import { run } from './run.ts'
import { vmId } from './sandbox-fields.ts'

const vm = z.object({
  vm_id: z.string(),
  environment: z.string(),
  environment_version: z.string().nullable(),
  vcpu_count: z.int(),
  mem_mib: z.int(),
  ttl_seconds: z.int(),
  created_at: z.number(),
  expires_at: z.number(),
  state: z.enum(['created', 'started', 'stopped']),
  network_enabled: z.boolean(),
  allow_host_compat: z.boolean(),
  guest_ip: z.string().nullable(),
  tap_name: z.string().nullable(),
  execution_mode: executionMode,
  metadata: z.record(z.string(), z.string()),
})

const one = z.strictObject({ vm_id: vmId })

export const createVm = operation({
  name: 'vm_create',
  summary: 'Create a throwaway VM, not started yet',
  input: z.strictObject({ environment: environmentName, vcpu_count: vcpuCount, mem_mib: memMib, ttl_seconds: ttlSeconds, network, allow_host_compat: allowHostCompat }),
  output: vm,
})

export const startVm = operation({ name: 'vm_start', summary: 'Start a throwaway VM', input: one, output: vm })

export const execVm = operation({
  name: 'vm_exec',
  summary: 'Run one command in a started VM, then remove the VM',
  input: z.strictObject({ vm_id: vmId, command, timeout_seconds: timeoutSeconds }),
  output: run.output,
})

export const stopVm = operation({ name: 'vm_stop', summary: 'Stop a throwaway VM', input: one, output: vm })

export const deleteVm = operation({ name: 'vm_delete', summary: 'Remove a throwaway VM', input: one, output: vmDelete })

export const statusVm = operation({ name: 'vm_status', summary: 'Show a throwaway VM', input: one, output: vm })

export const networkInfoVm = operation({
  name: 'vm_network_info',
  summary: 'Show the network of a throwaway VM',
  input: one,
  output: z.object({ vm_id: z.string(), network_enabled: z.boolean(), outbound_connectivity_expected: z.boolean(), reason: z.string().optional() }),
})

export const reapVms = operation({
  name: 'vm_reap_expired',
  summary: 'Remove the throwaway VMs whose time is over',
  input: z.strictObject({}),
  output: z.object({ deleted_vm_ids: z.array(z.string()), count: z.int() }),
})
