import { open } from 'node:fs/promises'
import { driveBytes } from '../../vmm/vmm.ts'
import { run } from '../process.ts'

/** mkfs.btrfs puts its chunks and the second superblock (at 64 MiB) into this much; what follows is one hole. */
export const blankDiskContentBytes = 96 << 20

/** Makes the file system that every workspace starts with: a sparse file that takes a few megabytes of the host. */
export async function writeBlankDisk(path: string, signal?: AbortSignal): Promise<void> {
  await using file = await open(path, 'wx')
  await file.truncate(driveBytes)
  await run({ program: 'mkfs.btrfs', args: ['--quiet', '--metadata', 'single', '--data', 'single', '--nodiscard', path] }, { signal })
}
