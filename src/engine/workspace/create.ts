import { PyroError } from '../../contract/errors.ts'
import { parseInput } from '../../contract/operation.ts'
import { createWorkspace as operation } from '../../contract/workspaces.ts'
import type { SandboxRow, WorkspaceSeed } from '../../store/rows.ts'
import { now } from '../clock.ts'
import { findEntry } from '../environment/catalogue.ts'
import type { Handler } from '../handler.ts'
import { createSandbox } from '../sandbox/create.ts'
import { newDraft } from '../sandbox/draft.ts'
import { groundOf } from '../sandbox/start.ts'
import { ensureSeed, type Seed, seedSource, type SeedSource } from '../seed/seed.ts'
import { workspacePayload } from './payload.ts'

/** Creates a workspace and starts it. Bad input is found before anything is made; any failure leaves nothing. */
export const createWorkspace: Handler<'workspace_create'> = async (orchestrator, input, { signal, progress }) => {
  const options = parseInput(operation, input)
  if (options.network_policy !== 'off') {
    throw new PyroError('network_unavailable', 'the guest has no network yet in this version', { hint: 'create it with --network-policy off' })
  }
  if (options.exclude && !options.seed_path) throw new PyroError('invalid_argument', 'exclude needs seed_path: there is nothing to leave out', { hint: 'give --seed-path as well' })
  const source = options.seed_path ? withExcluded(await seedSource(options.seed_path), options.exclude) : undefined
  const { version } = findEntry(options.environment)
  const draft = newDraft({
    kind: 'workspace',
    name: options.name ?? null,
    labels: options.labels ?? {},
    environment: options.environment,
    environmentVersion: version,
    vcpuCount: options.vcpu_count,
    memMib: options.mem_mib,
    ttlSeconds: options.ttl_seconds,
    networkPolicy: options.network_policy,
    allowHostCompat: options.allow_host_compat,
    createdAt: now(),
  })
  const failed = new AbortController()
  const until = AbortSignal.any([failed.signal, ...(signal ? [signal] : [])])
  const [ground, seed] = await Promise.all([
    groundOf(orchestrator, { ...draft, id: '' }, { signal: until, progress }),
    source && ensureSeed(orchestrator.paths, source, { signal: until, progress }),
  ]).catch((error: unknown) => {
    failed.abort()
    throw error
  })
  const row: Omit<SandboxRow, 'id'> = {
    ...draft,
    environmentDigest: 'reason' in ground ? null : ground.environment.digest,
    seed: seedPayload(source, seed),
    seedDigest: seed?.digest ?? null,
  }
  return workspacePayload(orchestrator, await createSandbox(orchestrator, { row, ground, seed }, { signal, progress }))
}

function withExcluded(source: SeedSource, exclude: string[] | undefined): SeedSource {
  if (!exclude) return source
  if (source.kind === 'archive') throw new PyroError('invalid_argument', 'exclude applies to a directory, not to an archive', { hint: 'pack the archive without them' })
  return { ...source, exclude }
}

function seedPayload(source: SeedSource | undefined, seed: Seed | undefined): WorkspaceSeed {
  const common = { git_tracked_only: false, destination: '/workspace' as const }
  if (!source || !seed) return { mode: 'empty', seed_path: null, origin_kind: 'empty', origin_ref: null, ...common, entry_count: 0, bytes_written: 0 }
  return {
    mode: source.kind === 'archive' ? 'tar_archive' : 'directory',
    seed_path: source.path,
    origin_kind: 'manual_seed_path',
    origin_ref: source.path,
    ...common,
    entry_count: seed.entryCount,
    bytes_written: seed.bytesWritten,
    ...(seed.skipped.length > 0 && { skipped: seed.skipped }),
  }
}
