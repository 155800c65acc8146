import assert from 'node:assert/strict'
import { operations } from '../../src/contract/operations.ts'
import { type Exclusion, exclusions } from '../../src/store/exclusion.ts'
import { verifies } from '../behaviours/promises.ts'

const table: Record<string, Exclusion> = exclusions
const named = (is: (exclusion: Exclusion) => boolean) => Object.entries(table).filter(([, exclusion]) => is(exclusion)).map(([name]) => name).sort()

verifies('exclusion.table', 'every operation on one workspace is in the table', () => {
  const ofOne = Object.keys(operations).filter((name) => name.startsWith('workspace_') && name !== 'workspace_list')
  assert.deepEqual(ofOne.filter((name) => !(name in table)), [])
})

verifies('exclusion.table', 'what replaces or removes the disk, or opens it without its machine, is alone', () => {
  assert.deepEqual(named(({ access }) => access === 'exclusive'), [
    'workspace_create',
    'workspace_delete',
    'workspace_disk_export',
    'workspace_disk_list',
    'workspace_disk_read',
    'workspace_fork',
    'workspace_reset',
    'workspace_stop',
    'workspace_undo',
  ])
  assert.deepEqual(named(({ ends }) => ends === true), ['workspace_delete', 'workspace_reset', 'workspace_stop', 'workspace_undo'])
})

verifies('exclusion.table', 'looking excludes nothing, wakes nothing and renews nothing', () => {
  for (const name of ['workspace_status', 'workspace_summary', 'workspace_logs', 'snapshot_list', 'service_list', 'service_status']) {
    assert.deepEqual(table[name], { access: 'none', changes: false, wakes: false, renews: false, activity: false }, name)
  }
})

verifies('exclusion.table', 'what needs the guest or changes the disk takes part in the exclusion', () => {
  assert.deepEqual(named(({ access, wakes, changes }) => access === 'none' && (wakes || changes)), [])
  assert.deepEqual(named(({ activity, renews }) => activity && !renews), [])
})
