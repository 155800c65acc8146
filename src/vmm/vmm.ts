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
  /** Files copied into the machine's directory before its start, sharing blocks where the file system can. */
  copies?: { from: string; to: string }[]
  /** Lock files held shared while the machine lives. */
  holds?: string[]
  signal?: AbortSignal | undefined
}

/** A running machine. */
export interface Machine extends AsyncDisposable {
  readonly id: string
  /** The VMM's own process id. */
  readonly pid: number
  /** A fresh channel to the agent; one may be open at a time. */
  dialControl(): Promise<Socket>
  /** Settles when the VMM has ended: with the reason and its last console lines, should it not have been told to. */
  readonly ended: Promise<MachineEnd>
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
  /** What does not hold on this host, in a sentence each; shown by `doctor`. */
  readonly caveats: readonly string[]
  /** Starts from the kernel. `into` names files to be made: the memory is the guest's own as it runs, the state is written by `suspend`. */
  boot(options: LaunchOptions & { into: SuspendedMachine }): Promise<Machine & Suspendable>
  /** Starts as a copy of a suspended machine. */
  fork(options: LaunchOptions & { from: SuspendedMachine }): Promise<Machine>
}

export interface Suspendable {
  /** Stops the machine for good and writes its device state. */
  suspend(): Promise<void>
}

export const vmmNames = ['qemu-kvm', 'qemu-tcg'] as const
export type VmmName = (typeof vmmNames)[number]
