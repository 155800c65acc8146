import { type DriveSlot, type Drives, driveBytes, driveSlots, type Kernel, type MachineShape, writableSlots } from '../vmm.ts'
import type { MonitorSpec } from '../monitor.ts'

export type Accelerator = 'kvm' | 'tcg'

export interface QemuConfiguration {
  accelerator: Accelerator
  shape: MachineShape
  kernel: Kernel
  drives: Drives
  /** See `LaunchOptions`. */
  durable?: boolean
  /** `own`: the file becomes the guest's memory. `private`: it is mapped copy-on-write. */
  memory: { path: string; mapping: 'own' | 'private'; readOnly: boolean }
  /** Waits for device state over QMP instead of starting the kernel. */
  incoming: boolean
}

/** The QMP servers of a machine: one for whoever owns it, one through which its monitor passes descriptors. */
export const qmpServers = ['qmp', 'files'] as const

/** Descriptor sets below this one may be the drives'. */
export const firstFreeFdset = driveSlots.length + 1

/**
 * The command line of one machine. Names in braces stand for file descriptors
 * that the monitor opens and hands down. A template and its forks get the same
 * devices in the same order; only the backends differ.
 */
export function qemuArguments({ accelerator, shape, kernel, drives, durable = false, memory, incoming }: QemuConfiguration): string[] {
  return [
    'qemu-system-x86_64',
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...['-M', 'microvm,acpi=on,pit=on,pic=on,rtc=on,memory-backend=ram'],
    ...accelerators[accelerator].arguments,
    ...['-smp', String(shape.vcpuCount), '-m', String(shape.memMib)],
    ...['-object', memoryBackend(shape, memory)],
    ...['-kernel', kernel.image, '-initrd', kernel.initramfs, '-append', commandLine(accelerator, kernel)],
    ...['-chardev', 'socket,id=console,fd={console}', '-serial', 'chardev:console'],
    ...['-device', 'virtio-serial-device,max_ports=4'],
    ...port('control'),
    ...port('network'),
    ...driveSlots.flatMap((slot) => drive(slot, drives[slot] !== undefined, durable)),
    ...qmpServers.flatMap((name) => ['-chardev', `socket,id=${name},fd={${name}},server=on,wait=off`, '-mon', `chardev=${name},mode=control`]),
    ...(incoming ? ['-incoming', 'defer'] : []),
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
  ]
}

/** All that a suspended machine depends on and that is the same for every machine: part of a template's key. */
export function machineModel(accelerator: Accelerator): string[] {
  const kernel = { image: '', initramfs: '', tscKhz: 0 }
  return qemuArguments({ accelerator, kernel, shape: { vcpuCount: 1, memMib: 1 }, drives: {}, memory: { path: '', mapping: 'own', readOnly: false }, incoming: false })
}

const accelerators: Record<Accelerator, { arguments: string[]; kernel: (kernel: Kernel) => string }> = {
  kvm: { arguments: ['-accel', 'kvm', '-cpu', 'host'], kernel: () => '' },
  tcg: {
    // The translation cache is the real memory cost of an emulated guest: 64 MiB are as fast as the default.
    // Without ERMS the kernel copies by words, which QEMU translates better than a string instruction.
    arguments: ['-accel', 'tcg,thread=multi,tb-size=64', '-cpu', 'max,erms=off'],
    // Without the first two, one emulated boot in three hangs in the calibration of its timer; without the
    // third a busy host makes the kernel fall back to a clock of 4 ms steps.
    kernel: ({ tscKhz }) => ` no_timer_check tsc_early_khz=${tscKhz} tsc=reliable`,
  },
}

function commandLine(accelerator: Accelerator, kernel: Kernel): string {
  return `console=ttyS0 quiet reboot=t panic=-1${accelerators[accelerator].kernel(kernel)}`
}

function memoryBackend(shape: MachineShape, { path, mapping, readOnly }: QemuConfiguration['memory']): string {
  const share = mapping === 'own' ? 'on' : 'off'
  return `memory-backend-file,id=ram,size=${shape.memMib}M,mem-path=${escaped(path)},share=${share}${readOnly ? ',readonly=on,rom=off' : ''}`
}

function port(name: string): string[] {
  return ['-chardev', `socket,id=${name},fd={${name}},server=on,wait=off`, '-device', `virtserialport,chardev=${name},name=pyro.${name}`]
}

/**
 * A drive is a raw node, which has the slot's name, over the node that holds
 * its bytes: a blank one, or a file that comes as a descriptor. Our lock files
 * guard against two VMMs, so QEMU locks nothing.
 */
function drive(slot: DriveSlot, given: boolean, durable: boolean): string[] {
  const writable = writableSlots.has(slot)
  const access = writable ? 'discard=unmap' : 'read-only=on'
  const file = given
    ? ['-add-fd', `fd={${descriptorOf(slot)}},set=${fdsetOf(slot)}`, '-blockdev', `driver=file,node-name=${backendOf(slot)},filename=/dev/fdset/${fdsetOf(slot)},locking=off,cache.no-flush=${durable ? 'off' : 'on'},${access}`]
    : ['-blockdev', `driver=null-co,node-name=${backendOf(slot)},size=${driveBytes},read-zeroes=on,${access}`]
  const errors = writable ? ',werror=enospc' : ''
  return [...file, '-blockdev', `driver=raw,node-name=${slot},file=${backendOf(slot)},${access}`, '-device', `virtio-blk-device,drive=${slot},rerror=report${errors}`]
}

/** The node below a slot's, as it is launched. */
export function backendOf(slot: DriveSlot): string {
  return `${slot}-backend`
}

function fdsetOf(slot: DriveSlot): number {
  return driveSlots.indexOf(slot) + 1
}

function descriptorOf(slot: DriveSlot): string {
  return `drive-${slot}`
}

/** What the monitor opens for the drives. */
export function driveFiles(drives: Drives): MonitorSpec['open'] {
  return driveSlots.flatMap((slot) => (drives[slot] === undefined ? [] : [{ name: descriptorOf(slot), path: drives[slot], write: writableSlots.has(slot) }]))
}

/** A comma ends a value in QEMU's option syntax unless doubled. */
function escaped(path: string): string {
  return path.replaceAll(',', ',,')
}
