import { PyroError } from '../../contract/errors.ts'
import { parseInput } from '../../contract/operation.ts'
import * as operations from '../../contract/vms.ts'
import { now } from '../clock.ts'
import { findEntry } from '../environment/catalogue.ts'
import type { Handler } from '../handler.ts'
import { capturedFields } from '../machine/capture.ts'
import { workspacePath } from '../machine/variables.ts'
import { runCommand } from '../sandbox/command.ts'
import { newDraft } from '../sandbox/draft.ts'
import { enter, findRow } from '../sandbox/enter.ts'
import { newSandboxId } from '../sandbox/naming.ts'
import { removeSandbox } from '../sandbox/remove.ts'
import { stopLive } from '../sandbox/stop.ts'
import { refuseExpired, removeExpired, watchExpiry } from './expiry.ts'
import { vmPayload } from './payload.ts'

export const createVm: Handler<'vm_create'> = async (orchestrator, input) => {
  const options = parseInput(operations.createVm, input)
  if (options.network) throw new PyroError('network_unavailable', 'the guest has no network yet in this version', { hint: 'create it without network' })
  const { version } = findEntry(options.environment)
  await removeExpired(orchestrator)
  const row = {
    id: newSandboxId(),
    ...newDraft({
      kind: 'vm',
      name: null,
      labels: {},
      environment: options.environment,
      environmentVersion: version,
      vcpuCount: options.vcpu_count,
      memMib: options.mem_mib,
      ttlSeconds: options.ttl_seconds,
      networkPolicy: 'off',
      allowHostCompat: options.allow_host_compat,
      createdAt: now(),
    }),
  }
  orchestrator.store.insertSandbox(row)
  watchExpiry(orchestrator, row)
  return vmPayload(row)
}

export const startVm: Handler<'vm_start'> = async (orchestrator, input, { signal, progress }) => {
  const { vm_id: id } = parseInput(operations.startVm, input)
  await refuseExpired(orchestrator, id)
  const { state } = findRow(orchestrator, 'vm', id)
  if (state === 'started') throw new PyroError('wrong_state', `VM '${id}' is 'started' already`, { hint: 'run a command in it (vm_exec)' })
  using stay = await enter(orchestrator, 'vm', id, 'workspace_start', { signal, progress })
  return vmPayload(stay.row())
}

export const execVm: Handler<'vm_exec'> = async (orchestrator, input, { signal, onOutput }) => {
  const { vm_id: id, command, timeout_seconds: timeoutSeconds } = parseInput(operations.execVm, input)
  await refuseExpired(orchestrator, id)
  const { row, end, stdout, stderr, vm } = await inVm()
  await removeSandbox(orchestrator, 'vm', id, {})
  return {
    vm_id: id,
    environment: vm.environment,
    environment_version: vm.environmentVersion,
    command: row.command,
    ...capturedFields({ stdout, stderr }),
    exit_code: end.exitCode,
    timed_out: end.timedOut,
    duration_ms: Math.round(end.durationUs / 1000),
    execution_mode: vm.executionMode as 'guest_vsock',
    metadata: vmPayload(vm).metadata,
    cleanup: { vm_id: id, deleted: true, reason: 'post_exec_cleanup' },
  }

  async function inVm() {
    using stay = await enter(orchestrator, 'vm', id, 'workspace_exec', { signal })
    return { ...(await runCommand(orchestrator, stay, stay.live(), { command, cwd: workspacePath, env: {}, timeoutSeconds, onOutput })), vm: stay.row() }
  }
}

export const stopVm: Handler<'vm_stop'> = async (orchestrator, input, { signal }) => {
  const { vm_id: id } = parseInput(operations.stopVm, input)
  await refuseExpired(orchestrator, id)
  using stay = await enter(orchestrator, 'vm', id, 'workspace_stop', { signal })
  const row = stay.sandbox.live ? await stopLive(orchestrator, stay.sandbox, 'user') : stay.row()
  watchExpiry(orchestrator, row)
  return vmPayload(row)
}

export const deleteVm: Handler<'vm_delete'> = async (orchestrator, input, { signal }) => {
  const { vm_id: id } = parseInput(operations.deleteVm, input)
  await removeSandbox(orchestrator, 'vm', id, { signal })
  return { vm_id: id, deleted: true, reason: 'explicit_delete' }
}

export const statusVm: Handler<'vm_status'> = async (orchestrator, input) => {
  const { vm_id: id } = parseInput(operations.statusVm, input)
  await refuseExpired(orchestrator, id)
  return vmPayload(findRow(orchestrator, 'vm', id))
}

export const networkInfoVm: Handler<'vm_network_info'> = async (orchestrator, input) => {
  const { vm_id: id } = parseInput(operations.networkInfoVm, input)
  await refuseExpired(orchestrator, id)
  findRow(orchestrator, 'vm', id)
  return { vm_id: id, network_enabled: false, outbound_connectivity_expected: false, reason: 'the VM was created without network' }
}

export const reapVms: Handler<'vm_reap_expired'> = async (orchestrator, input) => {
  parseInput(operations.reapVms, input)
  const ids = await removeExpired(orchestrator)
  return { deleted_vm_ids: ids, count: ids.length }
}
