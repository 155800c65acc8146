import { PyroError } from '../../contract/errors.ts'
import { bootId, remembered, tscKhz } from '../../host/facts.ts'
import { ensureBundle } from '../bundle/bundle.ts'
import type { CallOptions, Engine } from '../engine.ts'
import { type Environment, ensureEnvironment } from '../environment/environment.ts'
import { ensureSeed, type SeedSource } from '../seed/seed.ts'
import { ensureTemplate } from '../template/build.ts'
import { findTemplate, type Template, type TemplateSource } from '../template/manifest.ts'
import { obstacle, openVmm, wantedVmms } from './choose-vmm.ts'
import { type LiveMachine, startMachine } from './start.ts'
import type { MachineShape, VmmName } from '../../vmm/vmm.ts'

interface ResolveOptions extends CallOptions {
  /** A name of the catalogue. */
  environment: string
  shape: MachineShape
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
}

export interface LaunchedMachine extends LiveMachine {
  environment: Environment
}

/** From a name to a running machine: installs, builds and packs what is missing on the way. */
export async function launchMachine(engine: Engine, { id, seed, onStart, ...options }: LaunchOptions): Promise<LaunchedMachine> {
  const [resolved, packed] = await Promise.all([resolveMachine(engine, options), seed && ensureSeed(engine.paths, seed, options)])
  onStart?.()
  const machine = await startMachine({ id, ...resolved, seed: packed, signal: options.signal })
  return { ...machine, environment: resolved.environment }
}

/** The template for an environment and a shape on the best VMM of this host, made when it is missing. */
export async function resolveMachine(engine: Engine, { environment: name, shape, ...options }: ResolveOptions): Promise<ResolvedMachine> {
  const { paths, env } = engine
  const wanted = wantedVmms(env)
  const environment = await ensureEnvironment(paths, name, options)
  const [bundle, khz] = await Promise.all([ensureBundle(paths, options), tscKhz(paths)])
  const source: Omit<TemplateSource, 'vmm'> = {
    shape,
    kernel: { image: bundle.kernel, initramfs: bundle.initramfs, tscKhz: khz },
    bundleKey: bundle.key,
    environment,
    blankDisk: bundle.blankDisk,
  }
  const { vmm, template } = await firstThatBoots(engine, wanted, source, options)
  return { source: { ...source, vmm }, template, environment }
}

/**
 * The best VMM whose machines really run here. `/dev/kvm` that opens proves
 * nothing, so a VMM counts once a template was booted on it, to the agent's
 * answer. One that failed is not tried again until the host reboots, except the last resort.
 */
async function firstThatBoots({ paths, env }: Engine, wanted: readonly VmmName[], source: Omit<TemplateSource, 'vmm'>, options: CallOptions) {
  const reasons: string[] = []
  for (const name of wanted) {
    const reason = obstacle(name)
    if (reason) {
      reasons.push(`${name}: ${reason}`)
      continue
    }
    const vmm = await openVmm(paths, env, name)
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
    const lastResort = name === wanted.at(-1)
    const failure = lastResort ? await attempt() : await remembered(paths, `boot-${name}`, `${vmm.identity} ${source.bundleKey} ${bootId()}`, attempt)
    if (!failure) return { vmm, template: template ?? (await ensureTemplate(paths, { ...source, vmm }, options)) }
    reasons.push(`${name}: ${failure}`)
  }
  throw new PyroError('guest_unavailable', `guest boot unavailable: ${reasons.join('; ')}`, {
    hint: '`pyro doctor` says what is missing; `--allow-host-compat` (allow_host_compat) runs on the host, without isolation',
    details: { reasons },
  })
}

/** How it shows that a VMM does not run our kernel, as opposed to a host that lacks space or a file. */
const bootFailures: ReadonlySet<string> = new Set(['vmm_exited', 'guest_unresponsive'])
