import { randomBytes } from 'node:crypto'
import { guestDevices } from '../../vmm/vmm.ts'
import type { Seed } from '../seed/seed.ts'
import type { Template, TemplateSource } from '../template/manifest.ts'
import { attach, type LiveMachine } from './attach.ts'
import { guestVariables } from './variables.ts'

interface StartOptions {
  id: string
  source: TemplateSource
  template: Template
  seed?: Seed | undefined
  signal?: AbortSignal | undefined
}

/** Forks a template and makes the fork a machine of its own. Whatever fails, nothing is left. */
export function startMachine({ id, source, template, seed, signal }: StartOptions): Promise<LiveMachine> {
  const starting = source.vmm.fork({
    id,
    shape: source.shape,
    kernel: { ...source.kernel, tscKhz: template.tscKhz },
    drives: { environment: source.environment.rootfsImage, disk: 'disk.img', ...(seed && { seed: seed.path }) },
    copies: [{ from: template.disk, to: 'disk.img' }],
    holds: [{ path: template.lock, exclusive: false }],
    from: template,
    signal,
  })
  return attach({ id, vmm: source.vmm, variables: guestVariables, starting, devices: { disk: guestDevices.disk, seed: seed ? guestDevices.seed : '' }, signal })
}

export function newMachineId(): string {
  return randomBytes(6).toString('hex')
}
