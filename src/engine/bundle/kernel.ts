import { copyFile, mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { run } from '../process.ts'
import type { CallOptions } from '../engine.ts'
import { openArchive } from './debian-archive.ts'
import { guestModules, loadOrder } from './modules.ts'

/** The package of which every version's `Depends` names the current kernel image. */
const metapackage = 'linux-image-cloud-amd64'

/** A kernel as it lies in a directory: `vmlinux`, `modules.list` and `modules/`. */
export interface Kernel {
  /** Name of the image package, such as `linux-image-6.1.0-40-cloud-amd64`. */
  package: string
  /** Version of the image package, such as `6.1.153-1`. */
  version: string
  /** File names in the order in which the guest loads them. */
  modules: string[]
}

/** Takes the newest kernel of the release from the archive and lays it out in `directory`. */
export async function fetchKernel(directory: string, { progress, signal }: CallOptions): Promise<Kernel> {
  const scratch = join(directory, 'scratch')
  const tree = join(scratch, 'tree')
  await mkdir(scratch, { recursive: true })
  progress?.({ phase: 'kernel', detail: 'reading the Debian archive' })
  const archive = await openArchive(join(scratch, 'apt'), signal)
  const name = imagePackage((await archive.show(metapackage)).get('Depends') ?? '')
  const version = (await archive.show(name)).get('Version') ?? ''
  progress?.({ phase: 'kernel', detail: `downloading ${name} ${version}` })
  await archive.download(name, scratch)
  const file = (await readdir(scratch)).find((entry) => entry.endsWith('.deb')) ?? ''
  await run({ program: 'dpkg-deb', args: ['--extract', join(scratch, file), tree] }, { signal })
  const image = (await readdir(join(tree, 'boot'))).find((entry) => entry.startsWith('vmlinuz-')) ?? ''
  await unpackKernel(join(tree, 'boot', image), scratch, join(directory, 'vmlinux'), signal)
  const files = await loadOrder(tree, guestModules)
  await mkdir(join(directory, 'modules'))
  for (const module of files) await copyFile(module, join(directory, 'modules', basename(module)))
  return { package: name, version, modules: files.map((module) => basename(module)) }
}

function imagePackage(depends: string): string {
  const name = depends.match(/linux-image-\d\S*/)?.[0]
  if (!name) throw new Error(`${metapackage} depends on no kernel image: ${depends}`)
  return name
}

/**
 * Unpacks the ELF kernel out of a bzImage. Its header says where the payload lies
 * (Documentation/arch/x86/boot.rst); the payload's last four bytes are the unpacked size.
 */
async function unpackKernel(bzImage: string, scratch: string, vmlinux: string, signal?: AbortSignal): Promise<void> {
  const image = await readFile(bzImage)
  if (image.toString('latin1', 0x202, 0x206) !== 'HdrS') throw new Error(`${bzImage} is no bzImage`)
  const setupBytes = ((image[0x1f1] || 4) + 1) * 512
  const start = setupBytes + image.readUInt32LE(0x248)
  const end = start + image.readUInt32LE(0x24c) - 4
  const packed = join(scratch, 'vmlinux.lz4')
  await writeFile(packed, image.subarray(start, end))
  await run({ program: 'lz4', args: ['-d', '-q', '-f', packed, vmlinux] }, { signal })
  await expectElf(vmlinux, image.readUInt32LE(end))
}

async function expectElf(path: string, size: number): Promise<void> {
  await using file = await open(path)
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0)
  if (buffer.toString('latin1') !== '\x7fELF' || (await file.stat()).size !== size) throw new Error(`${path} is no ELF kernel of ${size} bytes`)
}
