import { PyroError } from '../../contract/errors.ts'

/** Where an environment's root file system comes from. */
export type EnvironmentSource = DebianRecipe

/** Built on this host from the signed packages of a Debian release. */
export interface DebianRecipe {
  kind: 'debian-recipe'
  profile: string
  suite: string
  /** Installed with what they depend on, on top of the release's essential packages and apt. */
  packages: string[]
}

export interface CatalogueEntry {
  name: string
  version: string
  description: string
  /** What the environment promises to have. */
  defaultPackages: string[]
  distribution: string
  distributionVersion: string
  source: EnvironmentSource
}

export const catalogVersion = '5.0.0'
export const compatibility = '>=5.0.0,<6.0.0'
export const platform = 'linux-x86_64'

const base = ['bash', 'coreutils', 'ca-certificates']
const git = [...base, 'git']
// cmake's `project()` asks for a C++ compiler unless told otherwise.
const build = [...git, 'gcc', 'g++', 'libc6-dev', 'make', 'cmake', 'python3']

/** By name. */
export const catalogue: readonly CatalogueEntry[] = [
  debian('debian:12', 'debian-git', 'Debian 12 with Git, for working on a repository', ['bash', 'coreutils', 'git'], git),
  debian('debian:12-base', 'debian-base', 'Minimal Debian 12: a shell and the basic tools', ['bash', 'coreutils'], base),
  debian(
    'debian:12-build',
    'debian-build',
    'Debian 12 with Git, compilers and Python, for building and testing',
    ['bash', 'coreutils', 'git', 'gcc', 'make', 'cmake', 'python3'],
    build,
  ),
]

function debian(name: string, profile: string, description: string, defaultPackages: string[], packages: string[]): CatalogueEntry {
  return {
    name,
    version: '1.0.0',
    description,
    defaultPackages,
    distribution: 'debian',
    distributionVersion: '12',
    source: { kind: 'debian-recipe', profile, suite: 'bookworm', packages },
  }
}

/** The entry of that name; an error that lists the names there are otherwise. */
export function findEntry(name: string): CatalogueEntry {
  const entry = catalogue.find((candidate) => candidate.name === name)
  if (entry) return entry
  const known = catalogue.map((candidate) => candidate.name)
  throw new PyroError('unknown_environment', `unknown environment ${JSON.stringify(name)}; known environments: ${known.join(', ')}`, {
    hint: '`pyro env list` shows what there is',
    details: { environment: name, known },
  })
}

/** One word for where an environment came from, as install manifests and payloads show it. */
export function sourceReference({ source }: CatalogueEntry): string {
  return `debian-recipe://${source.suite}/${source.profile}`
}
