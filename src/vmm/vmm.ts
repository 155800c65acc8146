import type { Socket } from 'node:net'

/** What a machine looks like to its kernel; part of a template's key. */
export interface MachineShape {
  vcpuCount: number
  memMib: number
}

/** The drives of every machine, in the order in which the guest finds them. */
export const driveSlots = ['environment', 'disk', 'seed', 'spare'] as const
export type DriveSlot = (typeof driveSlots)[number]

/** Where the guest finds the drive of each slot. */
export const guestDevices: Record<DriveSlot, string> = {
  environment: '/dev/vda',
  disk: '/dev/vdb',
  seed: '/dev/vdc',
  spare: '/dev/vdd',
}

/** The slots whose image can be exchanged while the guest runs. */
export type ExchangeableSlot = Extract<DriveSlot, 'seed'>

/** Every drive has this virtual size in every machine, so that any image fits any fork: 64 GiB. */
export const driveBytes = 64 * 1024 ** 3

/** The image file of each drive, absolute or in the machine's directory. A slot left out is a blank drive. */
export type Drives = Partial<Record<DriveSlot, string>>

/** The drives that a guest may write to. */
export const writableSlots: ReadonlySet<DriveSlot> = new Set(['disk', 'spare'])

export interface Kernel {
  /** Uncompressed ELF kernel. */
  image: string
  initramfs: string
  /** The host's TSC in kHz, which an emulated guest cannot find out by itself. */
  tscKhz: number
}

/** The files of a suspended machine. */
export interface SuspendedMachine {
  /** The guest's memory; forks map it privately. */
  memory: string
  /** Device state. */
  state: string
}

/** What is common to booting and forking. */
export interface LaunchOptions {
  id: string
  shape: MachineShape
  kernel: Kernel
  drives: Drives
  /**
   * Files copied before its start, sharing blocks where the file system can. `to` is in the machine's directory, or
   * absolute: then it must not exist yet, and it stays when the machine has gone. A start that fails leaves neither.
   */
  copies?: { from: string; to: string }[]
  /**
   * Lock files held for the machine's life, shared or alone. The VMM itself holds the exclusive ones too, so that none
   * is free while the VMM of a killed monitor is still dying.
   */
  holds?: { path: string; exclusive: boolean }[]
  /** Outlives us; `adopt` finds it again. Its monitor ends it when nobody was connected for so long. Without: it ends with us. */
  detached?: { leaseSeconds: number } | undefined
  /** The guest's flushes reach the host's disk. Otherwise they do not: for machines that die with their disk. */
  durable?: boolean
  signal?: AbortSignal | undefined
}

/** A running machine. */
export interface Machine extends AsyncDisposable {
  readonly id: string
  /** The VMM's own process id. */
  readonly pid: number
  /** A fresh channel to the agent; one may be open at a time. */
  dialControl(): Promise<Socket>
  /** Settles when the VMM has ended: with the reason and its last console lines, should it not have been told to. Never after `release`. */
  readonly ended: Promise<MachineEnd>
  /** Whether `pause` does anything; where it does not, `pause` and `resume` return at once. */
  readonly pausable: boolean
  /** Stops its vCPUs: no CPU is used, the guest's time stands still. Idempotent. */
  pause(): Promise<void>
  /** Lets it go on after `pause`, and after the host's disk was full. Idempotent. */
  resume(): Promise<void>
  /** Whether its vCPUs stand still, for whichever reason. */
  isPaused(): Promise<boolean>
  /** Puts an image into a read-only slot that was launched blank and that the guest has not mounted. Only where `Vmm.exchangesDrives`. */
  exchange(slot: ExchangeableSlot, path: string): Promise<void>
  /** Called when the host's disk is full under it, also when that happened before we adopted it: the VMM has paused itself, nothing is lost, `resume` tries again. */
  onStalled(listener: () => void): void
  /** How long a detached machine goes on from now on without anybody connected to it. */
  renewLease(seconds: number): void
  /** Leaves a detached machine to itself: it goes on, and every connection of ours to it is closed. */
  release(): void
  /** Ends it at once, and resolves when the VMM and all its files are gone. */
  [Symbol.asyncDispose](): Promise<void>
}

export interface MachineEnd {
  code: number | null
  signal: string | null
  /** The last lines of the serial console and of the VMM's own output, as the guest and the VMM wrote them. */
  console: string
}

/** A virtual machine monitor that works on this host. */
export interface Vmm {
  /** Such as `qemu-tcg`; appears in `metadata.vmm`, `doctor` and PYRO_VMM. */
  readonly name: VmmName
  /** Everything about the program that a suspended machine depends on, such as "QEMU 7.2.22 tcg cpu=max". */
  readonly identity: string
  /** Whether `Machine.exchange` works. */
  readonly exchangesDrives: boolean
  /** Starts from the kernel. `into` names files to be made: the memory is the guest's own as it runs, the state is written by `suspend`. */
  boot(options: LaunchOptions & { into: SuspendedMachine }): Promise<Machine & Suspendable>
  /** Starts as a copy of a suspended machine. */
  fork(options: LaunchOptions & { from: SuspendedMachine }): Promise<Machine>
  /**
   * The detached machine of that id, or undefined when there is none: its monitor is gone. One whose owner died while
   * it started is ended, and there is none, or it is paused and its agent has not attached. Fails with
   * `guest_unresponsive` when another process is connected to it.
   */
  adopt(id: string): Promise<Machine | undefined>
}

export interface Suspendable {
  /** Stops the machine for good and writes its device state. */
  suspend(): Promise<void>
}

export const vmmNames = ['qemu-kvm', 'qemu-tcg'] as const
export type VmmName = (typeof vmmNames)[number]
