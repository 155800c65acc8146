import { randomBytes } from 'node:crypto'
import { guestDevices, type Machine } from '../../vmm/vmm.ts'
import type { Template, TemplateSource } from '../template/manifest.ts'
import { attach, type Identity, type LiveMachine } from './attach.ts'
import { guestVariables } from './variables.ts'

interface StartOptions {
  id: string
  source: TemplateSource
  template: Template
  /** The images of its drives; the environment's is the template's when left out. */
  rootfs?: string | undefined
  seed?: string | undefined
  /** Outlives us, with a disk of its own that lasts. A throwaway machine's disk goes with it. */
  lasting?: Lasting | undefined
  signal?: AbortSignal | undefined
}

/** What a machine that outlives us has of its own. */
export interface Lasting {
  disk: string
  /** The disk is not there yet: it becomes a copy of the template's. */
  blank: boolean
  /** Held by whatever writes to the disk. */
  lock: string
  /** How long it goes on without anybody connected to it. */
  leaseSeconds: number
  hostname: string
  systemId: string
}

/** By how much the monitor's patience exceeds the guest's, which ends the machine more gently. */
export const gentleEndSeconds = 300

/** Forks a template and makes the fork a machine of its own. Whatever fails, nothing is left. */
export function startMachine(options: StartOptions): Promise<LiveMachine> {
  const { id, source, seed, lasting, signal } = options
  return attach({ id, vmm: source.vmm, variables: guestVariables, starting: fork(options), identity: identityOf({ id, seed, lasting }), signal })
}

/** What a fork is told to be. */
export function identityOf({ id, seed, lasting }: Pick<StartOptions, 'id' | 'seed' | 'lasting'>): Identity {
  return {
    hostname: lasting?.hostname ?? id,
    systemId: lasting?.systemId,
    leaseMs: (lasting?.leaseSeconds ?? 0) * 1000,
    devices: { disk: guestDevices.disk, seed: seed ? guestDevices.seed : '' },
  }
}

/** Forks a template; nobody has spoken to the fork's agent yet. */
export function fork({ id, source, template, rootfs = source.environment.rootfsImage, seed, lasting, signal }: StartOptions): Promise<Machine> {
  const disk = lasting?.disk ?? 'disk.img'
  return source.vmm.fork({
    id,
    shape: source.shape,
    kernel: { ...source.kernel, tscKhz: template.tscKhz },
    drives: { environment: rootfs, disk, ...(seed !== undefined && { seed }) },
    copies: !lasting || lasting.blank ? [{ from: template.disk, to: disk }] : [],
    holds: [{ path: template.lock, exclusive: false }, ...(lasting ? [{ path: lasting.lock, exclusive: true }] : [])],
    ...(lasting && { detached: { leaseSeconds: lasting.leaseSeconds + gentleEndSeconds }, durable: true }),
    from: template,
    signal,
  })
}

export function newMachineId(): string {
  return randomBytes(6).toString('hex')
}
