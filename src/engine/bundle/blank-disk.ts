import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { driveBytes } from '../../vmm/vmm.ts'
import { type Command, ProgramFailure, run } from '../process.ts'

/** mkfs.btrfs puts its chunks and the second superblock (at 64 MiB) into this much; what follows is one hole. */
export const blankDiskContentBytes = 96 << 20

/** Makes the file system that every workspace starts with: a sparse file that takes a few megabytes of the host. */
export async function writeBlankDisk(path: string, signal?: AbortSignal): Promise<void> {
  await using file = await open(path, 'wx')
  await file.truncate(driveBytes)
  const format: Command = { program: 'mkfs.btrfs', args: ['--quiet', '--metadata', 'single', '--data', 'single', '--nodiscard', path] }
  try {
    await run(format, { signal })
  } catch (error) {
    if (!(error instanceof ProgramFailure) || !error.stderr.includes('cannot check mount status')) throw error
    await runSeeingNoMounts(format, signal)
  }
}

/**
 * Where a loop device is mounted, as every snap is, an ordinary user's mkfs.btrfs gives up: it looks whether our file is
 * behind that device, which it may not open. In a namespace of its own it finds an empty table of mounts.
 */
async function runSeeingNoMounts({ program, args }: Command, signal: AbortSignal | undefined): Promise<void> {
  const proc = await mkdtemp(join(tmpdir(), 'pyro-proc-'))
  try {
    await mkdir(join(proc, 'self'))
    for (const table of ['mounts', 'self/mounts', 'swaps']) await writeFile(join(proc, table), '')
    const script = 'mount --bind "$1" /proc && shift && exec "$@"'
    await run({ program: 'unshare', args: ['--user', '--map-root-user', '--mount', 'sh', '-c', script, 'sh', proc, program, ...args] }, { signal })
  } finally {
    await rm(proc, { recursive: true, force: true })
  }
}
