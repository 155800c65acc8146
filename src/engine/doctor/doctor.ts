import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { doctor } from '../../contract/doctor.ts'
import { PyroError } from '../../contract/errors.ts'
import { type InputOf, type OutputOf, parseInput } from '../../contract/operation.ts'
import { recalled } from '../../host/facts.ts'
import { vmmNames } from '../../vmm/vmm.ts'
import { findBundle } from '../bundle/bundle.ts'
import type { CallOptions, Engine } from '../engine.ts'
import { inspectEnvironment } from '../environment/operations.ts'
import { obstacle, openVmm } from '../machine/choose-vmm.ts'
import { bootVerdict } from '../machine/launch.ts'
import { Room } from '../orchestrator/room.ts'
import { runInVm } from '../run.ts'
import { confinement } from './confinement.ts'

type Report = OutputOf<typeof doctor>

/** Judges this host by booting a guest on it. Fails only when no report can be made. */
export async function diagnose(engine: Engine, input: InputOf<typeof doctor>, options: CallOptions = {}): Promise<Report> {
  const { platform, environment: name } = parseInput(doctor, input)
  const environment = await inspectEnvironment(engine, { environment: name })
  const boot = await tryBoot(engine, name, environment.installed, options)
  const bundle = await findBundle(engine.paths).catch(() => undefined)
  return {
    platform,
    runtime_ok: boot.vmm !== null,
    issues: boot.issue === null ? [] : [boot.issue],
    kvm: kvm(),
    networking: networking(engine.env),
    runtime: bundle && {
      bundle_root: bundle.directory,
      manifest_path: join(bundle.directory, 'manifest.json'),
      artifacts_present: true,
      bundle_version: bundle.manifest.bundle_version,
      component_versions: bundle.manifest.component_versions,
      capabilities: { supports_vm_boot: boot.vmm !== null, supports_guest_exec: boot.vmm !== null, supports_guest_network: false, reason: boot.issue },
      catalog_version: environment.catalog_version,
      cache_dir: engine.paths.environments,
    },
    vmms: await Promise.all(vmmNames.map(async (vmm) => judge(engine, vmm, boot, bundle?.key))),
    vmm: boot.vmm,
    confinement: await confinement(engine.paths),
    checks: [
      { name: 'boot', status: boot.vmm === null ? (environment.installed ? 'fail' : 'unknown') : 'pass', details: boot.details },
      { name: 'room', ...room(engine.env, boot.vmm !== null) },
    ],
  }
}

/** How many machines run here at the same time before the longest idle one makes way; known for good only where one has run. */
function room(env: NodeJS.ProcessEnv, booted: boolean): Pick<Report['checks'][number], 'status' | 'details'> {
  try {
    return { status: booted ? 'pass' : 'unknown', details: `${new Room(env).capacity(usualMemMib)} machines of ${usualMemMib} MiB fit at the same time (PYRO_MAX_MACHINES sets the number)` }
  } catch (error) {
    return { status: 'fail', details: PyroError.from(error).message }
  }
}

/** The contract's default. */
const usualMemMib = 1024

interface Boot {
  /** The VMM that ran the guest; null when none did. */
  vmm: string | null
  issue: string | null
  details: string
}

async function tryBoot(engine: Engine, environment: string, installed: boolean, options: CallOptions): Promise<Boot> {
  if (!installed) {
    const issue = `no guest was booted: ${environment} is not installed; run \`pyro env pull ${environment}\``
    return { vmm: null, issue, details: issue }
  }
  try {
    const result = await runInVm(engine, { environment, command: 'uname -r' }, options)
    const vmm = result.metadata['vmm'] ?? ''
    if (result.exit_code === 0) return { vmm, issue: null, details: `a ${environment} guest ran on ${vmm}, kernel ${result.stdout.trim()}` }
    const issue = `the guest booted on ${vmm} but cannot execute: ${result.stderr.trim()}`
    return { vmm: null, issue, details: issue }
  } catch (thrown) {
    options.signal?.throwIfAborted()
    const error = PyroError.from(thrown)
    const issue = error.hint === undefined ? error.message : `${error.message} (${error.hint})`
    return { vmm: null, issue, details: error.message }
  }
}

async function judge({ paths, env }: Engine, name: (typeof vmmNames)[number], boot: Boot, bundleKey: string | undefined): Promise<Report['vmms'][number]> {
  if (name === boot.vmm) return { name, status: 'pass', details: 'booted a guest just now' }
  const reason = obstacle(name)
  if (reason) return { name, status: 'fail', details: reason }
  try {
    const vmm = await openVmm(paths, env, name)
    // What the last attempt told, in this boot of the host and with this kernel.
    const failure = bundleKey === undefined ? undefined : recalled<string>(paths, ...bootVerdict(vmm, bundleKey))?.value
    return failure ? { name, status: 'fail', details: `no guest boots on it: ${failure}` } : { name, status: 'unknown', details: 'installed; no guest was booted on it' }
  } catch (error) {
    return { name, status: 'fail', details: PyroError.from(error).message }
  }
}

function kvm(): Report['kvm'] {
  const may = (mode: number) => {
    try {
      accessSync('/dev/kvm', mode)
      return true
    } catch {
      return false
    }
  }
  return { exists: may(constants.F_OK), readable: may(constants.R_OK), writable: may(constants.W_OK) }
}

function networking(env: NodeJS.ProcessEnv): Report['networking'] {
  const find = (program: string) => [...(env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'].map((directory) => join(directory, program)).find((path) => existsSync(path)) ?? null
  const forward = '/proc/sys/net/ipv4/ip_forward'
  return {
    enabled_by_default: env['PYRO_VM_ENABLE_NETWORK'] === '1',
    tun_available: existsSync('/dev/net/tun'),
    ip_binary: find('ip'),
    nft_binary: find('nft'),
    iptables_binary: find('iptables'),
    ip_forward_enabled: existsSync(forward) && readFileSync(forward, 'utf8').trim() === '1',
  }
}
