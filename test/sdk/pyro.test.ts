import assert from 'node:assert/strict'
import type { Caller } from '../../src/contract/call.ts'
import { operations } from '../../src/contract/operations.ts'
import { Pyro, PyroError, version } from '../../src/index.ts'
import { verifies } from '../behaviours/promises.ts'
import { temporaryHome } from '../behaviours/home.ts'

/** Says what it was called with. */
function echo(): { pyro: Pyro; called: [string, unknown][] } {
  const called: [string, unknown][] = []
  const caller: Caller & AsyncDisposable = {
    call: async (name, input) => (called.push([name, input]), { environments: [] } as never),
    async [Symbol.asyncDispose]() {},
  }
  return { pyro: new Pyro({}, caller), called }
}

verifies('sdk.methods', 'each public operation has its method, ids first, with the names of the contract in its input', async () => {
  const { pyro, called } = echo()
  await pyro.runInVm({ environment: 'e', command: 'c', seedPath: '/s', allowHostCompat: true })
  await pyro.createVm({ environment: 'e', vcpuCount: 2, memMib: 512 })
  await pyro.startVm('v')
  await pyro.execVm('v', { command: 'c', timeoutSeconds: 1 })
  await pyro.stopVm('v')
  await pyro.deleteVm('v')
  await pyro.statusVm('v')
  await pyro.networkInfoVm('v')
  await pyro.reapExpired()
  assert.deepEqual(await pyro.listEnvironments(), [])
  await pyro.pullEnvironment('e')
  await pyro.inspectEnvironment('e')
  await pyro.pruneEnvironments()
  await pyro.createWorkspace({ environment: 'e', networkPolicy: 'off', labels: { camelCase: 'kept' }, name: undefined })
  await pyro.listWorkspaces()
  await pyro.statusWorkspace('w')
  await pyro.updateWorkspace('w', { clearName: true, clearLabels: ['a'] })
  await pyro.execWorkspace('w', { command: 'c', cwd: '/workspace/src', env: { MY_NAME: 'kept' } })
  await pyro.logsWorkspace('w', { sequence: 3 })
  await pyro.stopWorkspace('w')
  await pyro.startWorkspace('w')
  await pyro.deleteWorkspace('w')
  assert.deepEqual(called, [
    ['vm_run', { environment: 'e', command: 'c', seed_path: '/s', allow_host_compat: true }],
    ['vm_create', { environment: 'e', vcpu_count: 2, mem_mib: 512 }],
    ['vm_start', { vm_id: 'v' }],
    ['vm_exec', { vm_id: 'v', command: 'c', timeout_seconds: 1 }],
    ['vm_stop', { vm_id: 'v' }],
    ['vm_delete', { vm_id: 'v' }],
    ['vm_status', { vm_id: 'v' }],
    ['vm_network_info', { vm_id: 'v' }],
    ['vm_reap_expired', {}],
    ['vm_list_environments', {}],
    ['env_pull', { environment: 'e' }],
    ['env_inspect', { environment: 'e' }],
    ['env_prune', {}],
    ['workspace_create', { environment: 'e', network_policy: 'off', labels: { camelCase: 'kept' } }],
    ['workspace_list', {}],
    ['workspace_status', { workspace_id: 'w' }],
    ['workspace_update', { workspace_id: 'w', clear_name: true, clear_labels: ['a'] }],
    ['workspace_exec', { workspace_id: 'w', command: 'c', cwd: '/workspace/src', env: { MY_NAME: 'kept' }, interactive: false }],
    ['workspace_logs', { workspace_id: 'w', sequence: 3 }],
    ['workspace_stop', { workspace_id: 'w' }],
    ['workspace_start', { workspace_id: 'w' }],
    ['workspace_delete', { workspace_id: 'w' }],
  ])
  const withoutMethod = ['doctor', 'workspace_follow']
  assert.deepEqual(Object.keys(operations).filter((name) => !called.some(([made]) => made === name)).sort(), withoutMethod)
  assert.match(version, /^\d+\.\d+\.\d+$/)
})

verifies('sdk.methods', 'a field that is no field of the operation does not compile', () => {
  const { pyro } = echo()
  // @ts-expect-error environment is needed
  void pyro.createWorkspace({})
  // @ts-expect-error options are in camelCase
  void pyro.execVm('v', { command: 'c', timeout_seconds: 1 })
})

const home = temporaryHome()

verifies(['sdk.embedded', 'sdk.abort'], 'the engine in process has the same methods and errors, and a call can be given up', async () => {
  const baseDir = home.engine.paths.state
  await using pyro = await Pyro.embedded({ baseDir })
  assert.deepEqual(await pyro.listWorkspaces(), { count: 0, workspaces: [] })
  await assert.rejects(pyro.statusWorkspace('0123456789ab'), (error) => error instanceof PyroError && error.code === 'not_found')
  await assert.rejects(pyro.listWorkspaces({ signal: AbortSignal.abort() }), { code: 'canceled' })
  await assert.rejects(Pyro.embedded({ baseDir }), { code: 'state_in_use' })
})

verifies('sdk.embedded', 'once it is closed nothing is called any more, and the state directory is free', async () => {
  const baseDir = home.engine.paths.state
  const pyro = await Pyro.embedded({ baseDir })
  await pyro.close()
  await assert.rejects(pyro.listWorkspaces(), { code: 'canceled' })
  await (await Pyro.embedded({ baseDir })).close()
})
