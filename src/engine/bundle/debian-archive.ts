import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { packageRoot } from '../../host/paths.ts'
import { ProgramFailure, run } from '../process.ts'
import { PyroError } from '../../contract/errors.ts'

/** The release that the kernel and the environments come from, whatever the host runs. */
export const suite = 'bookworm'

export const sources = [
  `deb http://deb.debian.org/debian ${suite} main`,
  `deb http://deb.debian.org/debian ${suite}-updates main`,
  `deb http://deb.debian.org/debian-security ${suite}-security main`,
]

/** The archive's public signing keys; nothing that they have not signed is used. */
export function archiveKeyring(): string {
  return join(packageRoot(), 'environments', 'debian-12', 'archive-keyring.gpg')
}

/** A view of the archive's packages apart from the host's own sources, keys, pins and package state. */
export interface Archive {
  /** Resolves to the fields of a package's newest version, such as `Version` and `Depends`. */
  show(name: string): Promise<Map<string, string>>
  /** Downloads a package into `directory`, checked against the signed index. */
  download(name: string, directory: string): Promise<void>
}

/** The same view of the archive's source packages. */
export interface SourceArchive {
  /** Downloads the upstream release of a source package into `directory`, checked against the signed index. */
  source(name: string, directory: string): Promise<void>
}

/** Reads the indices of the archive's packages into `directory`. The host's proxy settings apply. */
export async function openArchive(directory: string, signal?: AbortSignal): Promise<Archive> {
  const apt = await readIndices(directory, sources, signal)
  return {
    async show(name) {
      const text = await apt('apt-cache', ['show', '--no-all-versions', name])
      return new Map(text.split('\n').flatMap((line) => (/^[A-Z]/.test(line) ? [split(line)] : [])))
    },
    async download(name, target) {
      await reaching(apt('apt-get', ['-q', 'download', name], target))
    },
  }
}

/** Reads the indices of the archive's source packages into `directory`. The host's proxy settings apply. */
export async function openSourceArchive(directory: string, signal?: AbortSignal): Promise<SourceArchive> {
  const lines = sources.map((line) => line.replace(/^deb /, 'deb-src '))
  const apt = await readIndices(directory, lines, signal)
  return {
    async source(name, target) {
      await reaching(apt('apt-get', ['-q', 'source', '--download-only', '--tar-only', name], target))
    },
  }
}

type Apt = (program: string, args: string[], cwd?: string) => Promise<string>

async function readIndices(directory: string, lines: string[], signal?: AbortSignal): Promise<Apt> {
  const configuration = join(directory, 'apt.conf')
  await mkdir(join(directory, 'lists', 'partial'), { recursive: true })
  await mkdir(join(directory, 'archives', 'partial'), { recursive: true })
  await writeFile(join(directory, 'status'), '')
  await writeFile(join(directory, 'sources.list'), `${lines.join('\n')}\n`)
  await writeFile(configuration, aptConfiguration(directory))
  const apt: Apt = (program, args, cwd = directory) => run({ program, args: ['-c', configuration, ...args], cwd }, { signal })
  await reaching(apt('apt-get', ['-q', 'update', '-o', 'APT::Update::Error-Mode=any']))
  return apt
}

async function reaching(work: Promise<unknown>): Promise<void> {
  try {
    await work
  } catch (error) {
    throw unreachable(error)
  }
}

function split(line: string): [string, string] {
  const colon = line.indexOf(': ')
  return [line.slice(0, colon), line.slice(colon + 2)]
}

/** Read after the host's own configuration, of which proxies stay and hooks go. */
function aptConfiguration(directory: string): string {
  const values: Record<string, string> = {
    'APT::Architecture': 'amd64',
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    'Acquire::http::Timeout': '90',
    'Dir::Cache': directory,
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'Dir::Etc::sourcelist': join(directory, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::trusted': archiveKeyring(),
    'Dir::Etc::trustedparts': '/dev/null',
    'Dir::State': directory,
    'Dir::State::lists': join(directory, 'lists'),
    'Dir::State::status': join(directory, 'status'),
  }
  const cleared = ['APT::Architectures', 'APT::Update::Pre-Invoke', 'APT::Update::Post-Invoke', 'APT::Update::Post-Invoke-Success']
  return [...cleared.map((name) => `#clear ${name};`), ...Object.entries(values).map(([name, value]) => `${name} "${value}";`), ''].join('\n')
}

function unreachable(error: unknown): unknown {
  if (!(error instanceof ProgramFailure)) return error
  const cause = error.stderr.match(/^E: .*$/m)?.[0].slice(3) ?? error.message
  return new PyroError('pull_failed', `cannot read the Debian archive: ${cause}`, {
    hint: 'check that deb.debian.org can be reached (apt uses http_proxy and its own proxy settings), then run the same command again',
    details: { sources },
    cause: error,
  })
}
