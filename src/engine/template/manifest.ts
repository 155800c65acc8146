import { createHash } from 'node:crypto'
import { readFileSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import type { Kernel, MachineShape, SuspendedMachine, Vmm } from '../../vmm/vmm.ts'
import type { Paths } from '../../host/paths.ts'

/** Raised when what a template holds, or how it is made, changes. */
const layoutVersion = 3

/** A host's clock that is off by more than this against the template's is another clock. */
const tscTolerance = 0.0005

/** All that a template is made from; a difference in any of it makes another template. */
export interface TemplateSource {
  vmm: Vmm
  shape: MachineShape
  kernel: Kernel
  /** Digest of kernel, modules and agent together. */
  bundleKey: string
  environment: { name: string; digest: string; rootfsImage: string }
  /** Formatted by the host, never mounted. */
  blankDisk: string
}

export interface Template extends SuspendedMachine {
  key: string
  directory: string
  /** The disk that a fork starts with: formatted and laid out, without content. */
  disk: string
  /** Held by every machine that uses the template, which keeps it from being removed. */
  lock: string
  /** With this TSC frequency the guest's kernel was booted; its forks go on counting with it. */
  tscKhz: number
}

interface Manifest {
  layoutVersion: number
  source: ReturnType<typeof describe>
  tscKhz: number
  /** As the host measured its own when the template was built. */
  hostTscKhz: number
  builtAt: string
  /** Size, times and inode of each file as it was when built. */
  files: Record<'memory' | 'state' | 'disk', string>
}

function describe({ vmm, shape, bundleKey, environment }: TemplateSource) {
  return { vmm: vmm.identity, shape, bundle: bundleKey, environment: environment.digest }
}

export function templateKey(source: TemplateSource): string {
  return createHash('sha256').update(JSON.stringify([layoutVersion, describe(source)])).digest('hex').slice(0, 32)
}

export function templateAt(directory: string, key: string, tscKhz: number): Template {
  const at = (name: string) => join(directory, name)
  return { key, directory, tscKhz, memory: at('memory'), state: at('state'), disk: at('disk.img'), lock: at('lock') }
}

export function manifestOf(source: TemplateSource, template: Template): string {
  const manifest: Manifest = {
    layoutVersion,
    source: describe(source),
    tscKhz: template.tscKhz,
    hostTscKhz: source.kernel.tscKhz,
    builtAt: new Date().toISOString(),
    files: identities(template),
  }
  return JSON.stringify(manifest, null, 2)
}

function identities({ memory, state, disk }: Template): Manifest['files'] {
  return { memory: identity(memory), state: identity(state), disk: identity(disk) }
}

/** Also names the time of the last change of any kind, which no program can set back. */
function identity(path: string): string {
  const { size, mtimeNs, ctimeNs, ino } = statSync(path, { bigint: true })
  return `${size}:${mtimeNs}:${ctimeNs}:${ino}`
}

/** Looks a template up, and says why one that is there cannot be used. Marks it as used. */
export function findTemplate(paths: Paths, source: TemplateSource): { template: Template } | { missing: string } {
  const key = templateKey(source)
  const directory = join(paths.templates, key)
  let manifest: Manifest
  try {
    manifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8'))
  } catch {
    return { missing: 'there is none yet' }
  }
  const template = templateAt(directory, key, manifest.tscKhz)
  try {
    if (JSON.stringify(identities(template)) !== JSON.stringify(manifest.files)) return { missing: 'its files changed since it was built' }
    if (Math.abs(manifest.hostTscKhz / source.kernel.tscKhz - 1) > tscTolerance) return { missing: "the host's clock runs at another rate now" }
    const now = new Date()
    utimesSync(template.lock, now, now)
  } catch {
    return { missing: 'its files are gone' }
  }
  return { template }
}
