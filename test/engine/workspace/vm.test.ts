import assert from 'node:assert/strict'
import { environment, until } from '../../behaviours/home.ts'
import { verifies } from '../../behaviours/promises.ts'
import { own } from '../../behaviours/workspaces.ts'

const { call, orchestrator } = await own({ PYRO_WARM_FORKS: '0' })
const make = async () => (await call('vm_create', { environment, mem_mib: 256 })).vm_id

verifies('vm.throwaway', 'created, started, run and gone', async () => {
  const id = await make()
  assert.equal((await call('vm_status', { vm_id: id })).state, 'created')
  await assert.rejects(call('vm_exec', { vm_id: id, command: 'true' }), { code: 'wrong_state' })
  assert.equal((await call('vm_start', { vm_id: id })).state, 'started')
  await assert.rejects(call('vm_start', { vm_id: id }), { code: 'wrong_state' })
  assert.deepEqual(await call('vm_network_info', { vm_id: id }), { vm_id: id, network_enabled: false, outbound_connectivity_expected: false, reason: 'the VM was created without network' })
  const { stdout, exit_code, cleanup } = await call('vm_exec', { vm_id: id, command: 'echo out; exit 4' })
  assert.deepEqual([stdout, exit_code, cleanup], ['out\n', 4, { vm_id: id, deleted: true, reason: 'post_exec_cleanup' }])
  await assert.rejects(call('vm_status', { vm_id: id }), { code: 'not_found' })
  assert.deepEqual((await call('workspace_list', {})).workspaces, [], 'it is no workspace')
})

verifies('vm.throwaway', 'its disk outlives a stop, and it can be deleted in any state', async () => {
  const id = await make()
  await call('vm_start', { vm_id: id })
  assert.equal((await call('vm_stop', { vm_id: id })).state, 'stopped')
  assert.equal((await call('vm_start', { vm_id: id })).state, 'started')
  await call('vm_delete', { vm_id: id })
  await call('vm_delete', { vm_id: await make() })
})

verifies('vm.throwaway', 'it goes when its time is over, and says so when it is touched first', async () => {
  const [a, b, c] = [await make(), await make(), await make()]
  await call('vm_start', { vm_id: a })
  for (const id of [a, b]) orchestrator.store.updateSandbox(id, { expiresAt: Date.now() / 1000 - 1 })
  await assert.rejects(call('vm_exec', { vm_id: a, command: 'true' }), { code: 'expired', message: `VM '${a}' expired and was automatically deleted` })
  assert.deepEqual(await call('vm_reap_expired', {}), { deleted_vm_ids: [b], count: 1 })
  const { watchExpiry } = await import('../../../src/engine/vm/expiry.ts')
  watchExpiry(orchestrator, { id: c, expiresAt: Date.now() / 1000 })
  await until('it to go', () => !orchestrator.store.sandbox(c))
})
