import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after } from 'node:test'
import { type Paths, resolvePaths } from '../../src/host/paths.ts'
import { writeRecordFile } from '../../src/store/record-file.ts'
import type { SandboxRow } from '../../src/store/rows.ts'

/** A state directory that goes away when the test file is done. */
export function temporaryState(): Paths {
  const directory = mkdtempSync(join(tmpdir(), 'pyro-state-'))
  after(() => rm(directory, { recursive: true, force: true }))
  return statePaths(join(directory, 'state'))
}

export function statePaths(state: string): Paths {
  mkdirSync(state, { recursive: true, mode: 0o700 })
  return resolvePaths({ PYRO_BASE_DIR: state, PYRO_CACHE_DIR: join(state, 'cache'), XDG_RUNTIME_DIR: state })
}

export function sandbox(id: string, changes: Partial<SandboxRow> = {}): SandboxRow {
  return {
    id,
    kind: 'workspace',
    name: null,
    labels: {},
    environment: 'debian:12-base',
    environmentVersion: null,
    environmentDigest: null,
    vcpuCount: 1,
    memMib: 1024,
    ttlSeconds: 600,
    createdAt: 1_700_000_000.25,
    lastActivityAt: 1_700_000_000.25,
    expiresAt: 1_700_000_600.25,
    state: 'started',
    paused: false,
    stoppedBy: null,
    error: null,
    networkPolicy: 'off',
    allowHostCompat: false,
    executionMode: 'guest_vsock',
    vmm: 'qemu',
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
    ...changes,
  }
}

export function command(changes: { recordedAt?: number; expiresAt?: number } = {}) {
  return { execId: 'e1', machineId: 'm1', command: 'true', cwd: '/workspace', executionMode: 'guest_vsock', recordedAt: 1_700_000_001.5, timeoutSeconds: 30, ...changes }
}

/** Makes a sandbox's directory, with the record in it. */
export function makeDirectory(paths: Paths, row: SandboxRow): string {
  const directory = join(paths.workspaces, row.id)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  writeRecordFile(paths, row)
  return directory
}

export interface Child {
  process: ChildProcess
  lines: AsyncIterator<string>
  ended: Promise<{ code: number | null; stderr: string }>
}

/** Runs a script in a process of its own; `through` are words before it, such as `setpriv …`. */
export function child(script: string, ...through: string[]): Child {
  const source = script.replaceAll('@/', join(import.meta.dirname, '../../src/'))
  const [program = '', ...words] = [...through, process.execPath, '--input-type=module-typescript', '--eval', source]
  const started = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'] })
  after(() => void started.kill('SIGKILL'))
  let stderr = ''
  started.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return {
    process: started,
    lines: createInterface({ input: started.stdout })[Symbol.asyncIterator](),
    ended: once(started, 'close').then(([code]) => ({ code: code as number | null, stderr })),
  }
}

/** The next line that a child prints, or a failure that holds what it complained of. */
export async function line({ lines, ended }: Child): Promise<string> {
  const { done, value } = await lines.next()
  if (done) throw new Error(`ended without a line: ${(await ended).stderr}`)
  return value
}
