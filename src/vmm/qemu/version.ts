import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { PyroError } from '../../contract/errors.ts'

export interface QemuVersion {
  /** Such as "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)". */
  text: string
  /** QEMU 8.2 and later can map a template's memory without opening it for writing. */
  opensReadOnly: boolean
}

/** Asks the program; callers remember the answer for as long as the file is the same. */
export async function qemuVersion(program: string): Promise<QemuVersion> {
  let output: string
  try {
    output = (await promisify(execFile)(program, ['--version'], { timeout: 10_000 })).stdout
  } catch (cause) {
    throw new PyroError('vmm_missing', `${program} does not run`, { hint: 'install QEMU: apt-get install qemu-system-x86', cause })
  }
  return parseQemuVersion(output)
}

export function parseQemuVersion(output: string): QemuVersion {
  const match = /QEMU emulator version ((\d+)\.(\d+)\S*(?: \(.*\))?)/.exec(output)
  if (!match?.[1]) throw new PyroError('vmm_missing', `not a QEMU: ${output.split('\n', 1)[0]}`, { hint: 'install QEMU: apt-get install qemu-system-x86' })
  const [major, minor] = [Number(match[2]), Number(match[3])]
  return { text: match[1], opensReadOnly: major > 8 || (major === 8 && minor >= 2) }
}
