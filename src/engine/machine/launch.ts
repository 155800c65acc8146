import { PyroError } from '../../contract/errors.ts'
import { bootId, remembered, tscKhz } from '../../host/facts.ts'
import { ensureBundle } from '../bundle/bundle.ts'
import type { CallOptions, Engine } from '../engine.ts'
import { type Environment, ensureEnvironment } from '../environment/environment.ts'
import { findEntry } from '../environment/catalogue.ts'
import { ensureSeed, type SeedSource } from '../seed/seed.ts'
import { ensureTemplate } from '../template/build.ts'
import { findTemplate, type Template, type TemplateSource } from '../template/manifest.ts'
import type { LiveMachine } from './attach.ts'
import { obstacle, openVmm, wantedVmms, wantsHost } from './choose-vmm.ts'
import { startHostCompat } from './host-compat.ts'
import { startMachine } from './start.ts'
import type { MachineShape, Vmm, VmmName } from '../../vmm/vmm.ts'

interface ResolveOptions extends CallOptions {
  /** A name of the catalogue. */
  environment: string
  shape: MachineShape
  /** The very image to use, instead of what is installed under the name now. */
  pinned?: Environment | undefined
}

/** What a machine is forked from. */
export interface ResolvedMachine {
  source: TemplateSource
  template: Template
  environment: Environment
}

interface LaunchOptions extends ResolveOptions {
  id: string
  seed?: SeedSource | undefined
  /** Called when all that has to be there is there. */
  onStart?: (() => void) | undefined
  /** Allows a machine without isolation where no guest boots. */
  allowHostCompat?: boolean | undefined
  /** Called before anything runs without isolation, with the reason. */
  onHostCompat?: ((reason: string) => void) | undefined
}

export interface LaunchedMachine extends LiveMachine {
  /** None on the host. */
  environment: Environment | undefined
}

/** From a name to a running machine: installs, builds and packs what is missing on the way. */
export async function launchMachine(engine: Engine, { id, seed, onStart, allowHostCompat, onHostCompat, ...options }: LaunchOptions): Promise<LaunchedMachine> {
  findEntry(options.environment)
  const packing = seed && ensureSeed(engine.paths, seed, options)
  const resolving = allowHostCompat ? resolveUnlessNone(engine, options) : resolveMachine(engine, options)
  const [resolved, packed] = await Promise.all([resolving, packing])
  if ('reason' in resolved) onHostCompat?.(resolved.reason)
  onStart?.()
  const starting = 'reason' in resolved ? startHostCompat(engine, { id, seed: packed, signal: options.signal }) : startMachine({ id, ...resolved, seed: packed?.path, signal: options.signal })
  return { ...(await starting), environment: 'reason' in resolved ? undefined : resolved.environment }
}

/** As `resolveMachine`, but that no guest can boot here is an answer. */
export async function resolveUnlessNone(engine: Engine, options: ResolveOptions): Promise<ResolvedMachine | { reason: string }> {
  if (wantsHost(engine.env)) return { reason: 'PYRO_VMM=host' }
  try {
    return await resolveMachine(engine, options)
  } catch (error) {
    if (error instanceof PyroError && noGuest.has(error.code)) return { reason: error.message }
    throw error
  }
}

const noGuest: ReadonlySet<string> = new Set(['guest_unavailable', 'vmm_missing'])

/** The template for an environment and a shape on the best VMM of this host, made when it is missing. */
export async function resolveMachine(engine: Engine, { environment: name, shape, pinned, ...options }: ResolveOptions): Promise<ResolvedMachine> {
  const { paths } = engine
  const candidates = await openVmms(engine, wantedVmms(engine.env))
  const environment = pinned ?? (await ensureEnvironment(paths, name, options))
  const [bundle, khz] = await Promise.all([ensureBundle(paths, options), tscKhz(paths)])
  const source: Omit<TemplateSource, 'vmm'> = {
    shape,
    kernel: { image: bundle.kernel, initramfs: bundle.initramfs, tscKhz: khz },
    bundleKey: bundle.key,
    environment,
    blankDisk: bundle.blankDisk,
  }
  const { vmm, template } = await firstThatBoots(engine, candidates, source, options)
  return { source: { ...source, vmm }, template, environment }
}

type Candidate = { vmm: Vmm } | { reason: string }

/** Each VMM that may work here, or why it cannot. */
function openVmms({ paths, env }: Engine, names: readonly VmmName[]): Promise<Candidate[]> {
  return Promise.all(
    names.map(async (name) => {
      const reason = obstacle(name)
      return reason ? { reason: `${name}: ${reason}` } : { vmm: await openVmm(paths, env, name) }
    }),
  )
}

/**
 * The best VMM whose machines really run here. `/dev/kvm` that opens proves
 * nothing, so a VMM counts once a template was booted on it, to the agent's
 * answer. One that failed is not tried again until the host reboots, except the last resort.
 */
async function firstThatBoots({ paths }: Engine, candidates: Candidate[], source: Omit<TemplateSource, 'vmm'>, options: CallOptions) {
  const reasons: string[] = []
  for (const candidate of candidates) {
    if ('reason' in candidate) {
      reasons.push(candidate.reason)
      continue
    }
    const { vmm } = candidate
    const found = findTemplate(paths, { ...source, vmm })
    if ('template' in found) return { vmm, template: found.template }
    let template: Template | undefined
    const attempt = async () => {
      try {
        template = await ensureTemplate(paths, { ...source, vmm }, options)
        return ''
      } catch (error) {
        options.signal?.throwIfAborted()
        if (error instanceof PyroError && bootFailures.has(error.code)) return error.message
        throw error
      }
    }
    const lastResort = candidate === candidates.at(-1)
    const failure = lastResort ? await attempt() : await remembered(paths, ...bootVerdict(vmm, source.bundleKey), attempt)
    if (!failure) return { vmm, template: template ?? (await ensureTemplate(paths, { ...source, vmm }, options)) }
    reasons.push(`${vmm.name}: ${failure}`)
  }
  throw new PyroError('guest_unavailable', `guest boot unavailable: ${reasons.join('; ')}`, {
    hint: '`pyro doctor` says what is missing; `--allow-host-compat` (allow_host_compat) runs on the host, without isolation',
    details: { reasons },
  })
}

/** Name and key under which it is remembered why a VMM did not boot our kernel; empty text when it did. */
export function bootVerdict(vmm: Vmm, bundleKey: string): [name: string, key: string] {
  return [`boot-${vmm.name}`, `${vmm.identity} ${bundleKey} ${bootId()}`]
}

/** How it shows that a VMM does not run our kernel, as opposed to a host that lacks space or a file. */
const bootFailures: ReadonlySet<string> = new Set(['vmm_exited', 'guest_unresponsive'])
