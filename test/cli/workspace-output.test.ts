import assert from 'node:assert/strict'
import { listParts } from '../../src/cli/commands/workspace/list.ts'
import { block, type Workspace } from '../../src/cli/commands/workspace/block.ts'
import { escaped, wrapped } from '../../src/cli/render.ts'
import { readableTime, relativeTime } from '../../src/cli/times.ts'
import { statusWorkspace } from '../../src/contract/workspaces.ts'
import { verifies } from '../behaviours/promises.ts'

const now = Date.now() / 1000

const plain: Workspace = statusWorkspace.output.parse({
  workspace_id: '0123456789ab',
  name: null,
  labels: {},
  environment: 'debian:12',
  environment_version: '1.0.0',
  vcpu_count: 2,
  mem_mib: 1024,
  ttl_seconds: 600,
  created_at: now - 300,
  last_activity_at: now - 200,
  expires_at: now + 400.5,
  state: 'started',
  network_policy: 'off',
  network_enabled: false,
  allow_host_compat: false,
  guest_ip: null,
  tap_name: null,
  execution_mode: 'guest_vsock',
  workspace_path: '/workspace',
  workspace_seed: { mode: 'empty', seed_path: null, origin_kind: 'empty', origin_ref: null, git_tracked_only: false, destination: '/workspace', entry_count: 0, bytes_written: 0 },
  secrets: [],
  command_count: 0,
  last_command: null,
  reset_count: 0,
  last_reset_at: null,
  service_count: 0,
  running_service_count: 0,
  metadata: {},
})

const time = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`

/** Lines that are to be as they stand, and those that hold a time. */
function assertLines(lines: string[], expected: (string | RegExp)[]): void {
  assert.equal(lines.length, expected.length, lines.join('\n'))
  for (const [index, line] of expected.entries()) {
    if (typeof line === 'string') assert.equal(lines[index], line)
    else assert.match(lines[index] ?? '', line)
  }
}

verifies('cli-workspace.block', 'a workspace with nothing in it has no line for what it has not', () => {
  assertLines(block('Workspace ID', plain), [
    'Workspace ID: 0123456789ab',
    'Environment: debian:12',
    'State: started',
    'Workspace: /workspace',
    new RegExp(`^Last activity at: ${time} \\(3 min ago\\)$`),
    new RegExp(`^Pauses at: ${time} \\(in 7 min\\), unless it is used$`),
    'Network policy: off',
    'Workspace seed: empty',
    'Execution mode: guest_vsock',
    'Resources: 2 vCPU / 1024 MiB',
    'Command count: 0',
    'Reset count: 0',
    'Services: 0/0 running',
  ])
})

verifies('cli-workspace.block', 'a full workspace has a line for each field, in the order of the contract', () => {
  const full: Workspace = {
    ...plain,
    name: 'bug hunt',
    labels: { b: '2', a: '1' },
    state: 'stopped',
    secrets: [{ name: 'TOKEN', source_kind: 'literal' }, { name: 'KEY', source_kind: 'file' }],
    workspace_seed: { ...plain.workspace_seed, mode: 'directory', origin_kind: 'manual_seed_path', seed_path: '/src', origin_ref: '/src' },
    command_count: 3,
    last_command: { sequence: 3, command: 'make test', cwd: '/workspace', exit_code: 2, duration_ms: 5, execution_mode: 'guest_vsock' },
    reset_count: 1,
    last_reset_at: now - 7200,
    service_count: 2,
    running_service_count: 1,
  }
  assertLines(block('Stopped workspace ID', full), [
    'Stopped workspace ID: 0123456789ab',
    'Name: bug hunt',
    'Labels: a=1, b=2',
    'Environment: debian:12',
    'State: stopped',
    'Workspace: /workspace',
    /^Last activity at: /,
    'Network policy: off',
    'Workspace seed: directory from /src',
    'Secrets: TOKEN (literal), KEY (file)',
    'Execution mode: guest_vsock',
    'Resources: 2 vCPU / 1024 MiB',
    'Command count: 3',
    'Reset count: 1',
    /^Last reset at: .* \(2 h ago\)$/,
    'Services: 1/2 running',
    'Last command: make test (exit_code=2)',
  ])
})

for (const [state, metadata, line] of [
  ['started', { paused: 'true' }, 'State: started (paused; the next use wakes it)'],
  ['stopped', { stopped_by: 'user' }, 'State: stopped'],
  ['stopped', { stopped_by: 'memory' }, 'State: stopped (memory was short; the next use starts it)'],
  ['stopped', { stopped_by: 'vmm' }, 'State: stopped (its machine died; pyro workspace start starts it)'],
] as const) {
  verifies('cli-workspace.block', `'${line}' tells why and what next`, () => {
    const lines = block('Workspace ID', { ...plain, state, metadata })
    assert.ok(lines.includes(line), lines.join('\n'))
    assert.ok(!lines.some((each) => each.startsWith('Pauses at')))
  })
}

for (const [seed, text] of [
  [{ mode: 'tar_archive', origin_kind: 'manual_seed_path', seed_path: '/a.tgz', origin_ref: null }, 'tar_archive from /a.tgz'],
  [{ mode: 'directory', origin_kind: 'project_path', origin_ref: '/p', git_tracked_only: true }, 'directory from project /p (Git-tracked files)'],
  [{ mode: 'directory', origin_kind: 'repo_url', origin_ref: 'https://x/y' }, 'directory from clean clone https://x/y'],
] as const) {
  verifies('cli-workspace.block', `a seed is told as '${text}'`, () => {
    assert.ok(block('Workspace ID', { ...plain, workspace_seed: { ...plain.workspace_seed, ...seed } }).includes(`Workspace seed: ${text}`))
  })
}

const listed = { ...plain, paused: false, retention_due_at: null }

verifies('cli-workspace.list', 'a workspace is one line, with name and labels where it has them', () => {
  assert.match(
    listParts(listed).join(' '),
    new RegExp(`^\\[workspace\\] workspace_id=0123456789ab state=started environment=debian:12 last_activity_at='${time} \\(3 min ago\\)' expires_at='${time} \\(in 7 min\\)' commands=0 services=0/0$`),
  )
  assert.match(
    listParts({ ...listed, name: 'bug hunt', labels: { b: '2', a: '1' }, paused: true, retention_due_at: now + 3 * 86_400 + 60 }).join(' '),
    /^\[workspace\] workspace_id=0123456789ab name='bug hunt' state=started environment=debian:12 labels=a=1,b=2 last_activity_at='.*' expires_at='.*' commands=0 services=0\/0 paused=yes deleted_at='.* \(in 3 days\)'$/,
  )
})

verifies('cli-workspace.list', 'on a terminal of 80 columns no line is longer and no field is broken', () => {
  const parts = listParts({ ...listed, name: 'a name that is rather long for what it names', labels: { team: 'compilers', issue: '42' } })
  const lines = wrapped(parts, 80).split('\n')
  assert.ok(lines.length > 1)
  for (const [index, line] of lines.entries()) {
    assert.ok(line.length <= 80, line)
    assert.equal(line.startsWith('    '), index > 0)
  }
  assert.equal(lines.map((line) => line.trim()).join(' '), parts.join(' '))
})

verifies('cli-workspace.list', 'a part that fits nowhere has a line of its own', () => {
  assert.equal(wrapped(['a', 'b'.repeat(20), 'c'], 10), `a\n    ${'b'.repeat(20)}\n    c`)
})

verifies('cli-workspace.escaped', 'control characters show as escapes in every field that somebody chose', () => {
  assert.equal(escaped('a\x1b[31m\n\t\r\x07\x7f\x9bz ü😀'), String.raw`a\e[31m\n\t\r\x07\x7f\x9bz ü😀`)
  const hostile = { ...plain, labels: { k: '\x1b]0;x\x07' }, last_command: { sequence: 1, command: 'printf "\x1b[2J"\nls', cwd: '/workspace', exit_code: null, duration_ms: 0, execution_mode: 'guest_vsock' as const } }
  const text = block('Workspace ID', hostile).join('\n')
  assert.doesNotMatch(text, /[^\P{Cc}\n]/u)
  assert.match(text, /^Last command: printf "\\e\[2J"\\nls \(exit_code=none\)$/m)
})

for (const [distance, text] of [
  [0, 'now'],
  [-1, '1 s ago'],
  [59, 'in 59 s'],
  [-60, '1 min ago'],
  [-89, '1 min ago'],
  [598, 'in 10 min'],
  [-3560, '59 min ago'],
  [-3599, '1 h ago'],
  [3600, 'in 1 h'],
  [-83_000, '23 h ago'],
  [86_400, 'in 1 day'],
  [-90 * 86_400, '90 days ago'],
] as const) {
  verifies('cli-workspace.block', `${distance} s from now is '${text}'`, () => assert.equal(relativeTime(1e9 + distance, 1e9), text))
}

verifies('cli-workspace.block', 'a time is the local one', () => {
  assert.equal(readableTime(new Date(2026, 0, 2, 3, 4, 5).getTime() / 1000, new Date(2026, 0, 2, 3, 6, 5).getTime() / 1000), '2026-01-02 03:04:05 (2 min ago)')
})
