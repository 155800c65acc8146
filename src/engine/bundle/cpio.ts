/** An entry of an archive; names are relative, without a leading `./`. */
export type CpioEntry = { name: string; mode: number } & ({ kind: 'directory' } | { kind: 'file'; content: Buffer })

const directoryType = 0o040000
const fileType = 0o100000

/**
 * Makes an archive in the `newc` format that the kernel unpacks as initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Owner is root and times are zero, so that the same
 * entries give the same bytes.
 */
export function cpioArchive(entries: CpioEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) => member(entry, index + 1))
  const trailer = member({ kind: 'file', name: 'TRAILER!!!', mode: 0, content: Buffer.alloc(0) }, 0)
  return Buffer.concat([...parts, ...trailer])
}

function member(entry: CpioEntry, inode: number): Buffer[] {
  const content = entry.kind === 'file' ? entry.content : Buffer.alloc(0)
  const name = Buffer.from(`${entry.name}\0`)
  const type = entry.kind === 'directory' ? directoryType : inode === 0 ? 0 : fileType
  const links = entry.kind === 'directory' ? 2 : 1
  const fields = [inode, type | entry.mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0]
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`)
  return [header, name, padding(header.length + name.length), content, padding(content.length)]
}

function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4)
}
