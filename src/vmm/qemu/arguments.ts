import { type Drives, driveBytes, driveSlots, type Kernel, type MachineShape, writableSlots } from '../vmm.ts'

export type Accelerator = 'kvm' | 'tcg'

export interface QemuConfiguration {
  accelerator: Accelerator
  shape: MachineShape
  kernel: Kernel
  drives: Drives
  /** `own`: the file becomes the guest's memory. `private`: it is mapped copy-on-write. */
  memory: { path: string; mapping: 'own' | 'private'; readOnly: boolean }
  /** Waits for device state over QMP instead of starting the kernel. */
  incoming: boolean
}

/**
 * The command line of one machine. Names in braces stand for file descriptors
 * that the monitor opens and hands down. A template and its forks get the same
 * devices in the same order; only the backends differ.
 */
export function qemuArguments({ accelerator, shape, kernel, drives, memory, incoming }: QemuConfiguration): string[] {
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
    ...driveSlots.flatMap((slot) => drive(slot, drives[slot])),
    ...['-chardev', 'socket,id=qmp,fd={qmp},server=on,wait=off', '-mon', 'chardev=qmp,mode=control'],
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

/** A machine's disk dies with it, so its flushes need not reach the host's; the lock file guards against two VMMs. */
function drive(slot: string, path: string | undefined): string[] {
  const backend =
    path === undefined
      ? `driver=null-co,size=${driveBytes},read-zeroes=on`
      : `driver=raw,file.driver=file,file.filename=${escaped(path)},file.locking=off,cache=unsafe,discard=unmap`
  const mode = (writableSlots as ReadonlySet<string>).has(slot) ? 'werror=report,rerror=report' : 'readonly=on'
  return ['-drive', `if=none,id=${slot},${backend},${mode}`, '-device', `virtio-blk-device,drive=${slot}`]
}

/** A comma ends a value in QEMU's option syntax unless doubled. */
function escaped(path: string): string {
  return path.replaceAll(',', ',,')
}
