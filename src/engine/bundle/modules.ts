import { readFile } from 'node:fs/promises'
import { globSync } from 'node:fs'
import { basename, join } from 'node:path'

/**
 * What a guest needs before its root is mounted, and what it cannot load later because the root holds no modules.
 * `crc32c-intel`, `blake2b_generic` and `xxhash_generic` are what btrfs asks for by algorithm, not by module name.
 */
export const guestModules = [
  'virtio_mmio',
  'virtio_console',
  'virtio_blk',
  'virtio-rng',
  'squashfs',
  'overlay',
  'crc32c-intel',
  'blake2b_generic',
  'xxhash_generic',
  'btrfs',
  'tun',
  'vsock',
  'vmw_vsock_virtio_transport',
]

/** Resolves modules and all that they depend on to files, in the order in which they load. */
export async function loadOrder(kernelTree: string, wanted: string[]): Promise<string[]> {
  const files = new Map(globSync('lib/modules/*/kernel/**/*.ko', { cwd: kernelTree }).map((path) => [moduleName(path), join(kernelTree, path)]))
  const order = new Map<string, string>()
  const visit = async (name: string): Promise<void> => {
    if (order.has(name)) return
    const file = files.get(name)
    if (!file) throw new Error(`the kernel package has no module ${name}`)
    for (const dependency of dependencies(await readFile(file, 'latin1'))) await visit(dependency)
    order.set(name, file)
  }
  for (const name of wanted) await visit(canonical(name))
  return [...order.values()]
}

/** The `depends=` entry of the module's .modinfo section, which depmod reads too. */
function dependencies(module: string): string[] {
  const names = module.match(/\0depends=([^\0]*)\0/)?.[1] ?? ''
  return names.split(',').filter(Boolean).map(canonical)
}

function moduleName(path: string): string {
  return canonical(basename(path, '.ko'))
}

/** The kernel takes `-` and `_` in module names for the same. */
function canonical(name: string): string {
  return name.replaceAll('-', '_')
}
