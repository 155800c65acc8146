import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { resolvePaths } from '../../../src/host/paths.ts'
import { type Home, temporaryHome, until } from '../../behaviours/home.ts'

/** Why there can be no small disk here; false when there can. */
export const noSmallDisk = process.getuid?.() !== 0 && 'only root can mount a small disk'

export interface SmallDisk {
  /** Leaves no room. */
  fill(): void
  free(): void
}

/** A home whose state directory lies on a file system of its own, so large; sockets and cache do not. */
export function homeOnSmallDisk(mib: number, env: NodeJS.ProcessEnv = {}): Home & { disk: SmallDisk } {
  const home = temporaryHome(env)
  const place = join(home.directory, 'state')
  const image = join(home.directory, 'state.ext4')
  mkdirSync(place)
  const file = openSync(image, 'wx')
  ftruncateSync(file, mib * 1024 ** 2)
  closeSync(file)
  execFileSync('mkfs.ext4', ['-q', '-m', '0', image])
  execFileSync('mount', ['-o', 'loop', image, place])
  const disk = smallDisk(place)
  home.machines.defer(() => unmount(place))
  const own = { ...home.env, XDG_STATE_HOME: place }
  return { ...home, env: own, engine: { paths: resolvePaths(own), env: own }, disk }
}

async function unmount(place: string): Promise<void> {
  try {
    await until(`nobody to use ${place}`, () => spawnSync('umount', [place]).status === 0)
  } catch (error) {
    execFileSync('umount', ['--lazy', place]) // whoever uses it still is a fault, but must not keep it for ever
    throw error
  }
}

function smallDisk(place: string): SmallDisk {
  const ballast = join(place, 'ballast')
  return {
    fill() {
      const { bavail, bsize } = statfsSync(place)
      if (bavail > 0) {
        try {
          execFileSync('fallocate', ['-l', String(bavail * bsize), ballast], { stdio: 'ignore' })
        } catch {
          // others write as well: the rest follows
        }
      }
      const file = openSync(ballast, 'a')
      try {
        for (const size of [1024 ** 2, 4096]) for (const data = Buffer.alloc(size); writeSync(file, data) === size; );
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      } finally {
        closeSync(file)
      }
    },
    free: () => rmSync(ballast, { force: true }),
  }
}
