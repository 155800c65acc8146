import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { packageRoot } from '../../host/paths.ts'

interface RootFile {
  path: string
  content: string
  mode: number
}

/** Files of every environment that are ours instead of the distribution's or, as mmdebstrap has it, the build host's. */
export async function rootFiles(): Promise<RootFile[]> {
  const profile = await readFile(join(packageRoot(), 'environments', 'debian-12', 'profile'), 'utf8')
  return [
    { path: '/etc/profile', content: profile, mode: 0o644 },
    // Debian's own starts `mesg`.
    { path: '/root/.profile', content: '[ -z "${BASH_VERSION-}" ] || [ ! -r ~/.bashrc ] || . ~/.bashrc\n', mode: 0o644 },
    { path: '/etc/hostname', content: 'pyro\n', mode: 0o644 },
    { path: '/etc/hosts', content: '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n', mode: 0o644 },
    { path: '/etc/resolv.conf', content: '', mode: 0o644 },
  ]
}
