import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { PyroError } from '../../contract/errors.ts'
import { fileIdentity, remembered } from '../../host/facts.ts'
import type { Paths } from '../../host/paths.ts'
import type { Accelerator } from '../../vmm/qemu/arguments.ts'
import { qemu } from '../../vmm/qemu/qemu.ts'
import { qemuVersion } from '../../vmm/qemu/version.ts'
import { type Vmm, type VmmName, vmmNames } from '../../vmm/vmm.ts'

const qemuProgram = 'qemu-system-x86_64'

/** What PYRO_VMM may say, and which VMMs it leaves to choose from. */
const wishes: Record<string, readonly VmmName[]> = {
  qemu: ['qemu-kvm', 'qemu-tcg'],
  'qemu-kvm': ['qemu-kvm'],
  'qemu-tcg': ['qemu-tcg'],
}

/** Whether PYRO_VMM asks for no VMM at all. */
export function wantsHost(env: NodeJS.ProcessEnv): boolean {
  return env['PYRO_VMM'] === 'host'
}

/** The VMMs to try, best first. `PYRO_VMM` narrows them. */
export function wantedVmms(env: NodeJS.ProcessEnv): readonly VmmName[] {
  const wish = env['PYRO_VMM']
  if (!wish) return vmmNames
  if (wantsHost(env)) {
    throw new PyroError('guest_unavailable', 'PYRO_VMM=host runs commands on this host, without isolation: it needs --allow-host-compat (allow_host_compat) as well', {
      hint: 'unset PYRO_VMM for a guest, or give --allow-host-compat if the command may do to this host whatever you may',
    })
  }
  const wanted = wishes[wish]
  if (!wanted) {
    throw new PyroError('invalid_argument', `PYRO_VMM: unknown VMM '${wish}'`, { hint: `choose one of ${Object.keys(wishes).join(', ')}, host, or unset it` })
  }
  return wanted
}

/** The VMM of that name as it is installed here. Throws `vmm_missing` when it is not. */
export async function openVmm(paths: Paths, env: NodeJS.ProcessEnv, name: VmmName): Promise<Vmm> {
  const program = findProgram(env, qemuProgram)
  const version = await remembered(paths, 'qemu', fileIdentity(program), () => qemuVersion(program))
  return qemu(paths, name.slice('qemu-'.length) as Accelerator, version)
}

/** Why a VMM cannot work here, as far as that shows without a boot. */
export function obstacle(name: VmmName): string | undefined {
  if (name !== 'qemu-kvm') return undefined
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? '/dev/kvm does not exist: no hardware virtualization on this host'
      : '/dev/kvm cannot be opened: join its group with `sudo usermod -aG kvm $USER`, then log in again'
  }
}

function findProgram(env: NodeJS.ProcessEnv, program: string): string {
  for (const directory of (env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, program)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // not in this directory
    }
  }
  throw new PyroError('vmm_missing', `${program} is not on PATH: no virtual machine can run`, { hint: 'install QEMU: apt-get install qemu-system-x86' })
}
