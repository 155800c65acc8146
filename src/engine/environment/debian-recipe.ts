import { chmod, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PyroError } from '../../contract/errors.ts'
import { archiveKeyring, sources } from '../bundle/debian-archive.ts'
import { type Command, ProgramFailure, runPiped } from '../process.ts'
import type { CallOptions } from '../engine.ts'
import type { DebianRecipe } from './catalogue.ts'
import { rootFiles } from './root-files.ts'
import { noteBuilder, removeScratch, scratchNote } from './partial.ts'

/**
 * Times of files that the build itself makes, so that the same packages give the same image; later than any file in
 * the release's first packages.
 */
const sourceDateEpoch = '1767225600'

/** Documentation and translations, for the packages that the guest's user installs later too. */
const unwanted = ['/usr/share/doc/*', '/usr/share/info/*', '/usr/share/locale/*', '/usr/share/man/*']
const wanted = ['/usr/share/doc/*/copyright', '/usr/share/locale/locale.alias']

/** Builds a root file system into the squashfs `image`, with or without root. Scratch files lie beside it. */
export async function buildDebianRecipe(recipe: DebianRecipe, image: string, directory: string, { progress, signal }: CallOptions): Promise<void> {
  const scratch = await makeScratch(directory)
  try {
    await runPiped(await mmdebstrap(recipe, directory, scratch), sqfstar(image), {
      signal,
      onLine: stepReporter(progress),
      onStart: (pid) => noteBuilder(directory, pid),
    })
  } catch (error) {
    throw buildError(error)
  } finally {
    await removeScratch(scratch)
  }
}

async function mmdebstrap({ suite, packages }: DebianRecipe, directory: string, scratch: string): Promise<Command> {
  const files = join(directory, 'files')
  await mkdir(files)
  const hooks: string[] = []
  for (const [index, { path, content, mode }] of (await rootFiles()).entries()) {
    const file = join(files, String(index))
    await writeFile(file, content)
    await chmod(file, mode)
    hooks.push(`--customize-hook=upload ${hookWord(file)} ${hookWord(path)}`)
  }
  return {
    program: 'mmdebstrap',
    args: [
      '--mode=auto',
      '--variant=minbase',
      '--architectures=amd64',
      `--keyring=${archiveKeyring()}`,
      `--include=${packages.join(',')}`,
      ...unwanted.map((path) => `--dpkgopt=path-exclude=${path}`),
      ...wanted.map((path) => `--dpkgopt=path-include=${path}`),
      // The release's init-system-helpers would otherwise bring usrmerge and with it the whole of Perl.
      '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
      '--aptopt=Acquire::Languages "none"',
      '--aptopt=Acquire::Retries "3"',
      ...hooks,
      '--customize-hook=mkdir -p "$1/workspace"',
      suite,
      '-',
      ...sources,
    ],
    env: { SOURCE_DATE_EPOCH: sourceDateEpoch, TMPDIR: scratch },
  }
}

/** Not compressed: the guest reads it from the host's page cache, and has no time to unpack it. */
const uncompressed = ['-noI', '-noD', '-noF', '-noX']
/** sqfstar skips the archive's entry for the root itself and would make it writable for all. */
const rootDirectory = ['-root-mode', '755', '-root-time', sourceDateEpoch]

function sqfstar(image: string): Command {
  const args = ['-quiet', '-no-progress', ...uncompressed, ...rootDirectory, image]
  const env = { SOURCE_DATE_EPOCH: sourceDateEpoch }
  if (isRoot()) return { program: 'sqfstar', args, env }
  // It gives the root directory to whoever runs it (4.5 ignores -root-uid).
  return { program: 'unshare', args: ['--user', '--map-root-user', 'sqfstar', ...args], env }
}

/**
 * Where mmdebstrap unpacks. As root that is inside the partial install, which goes away as a whole. A user without
 * root builds in a user namespace whose root is another user, and who cannot pass through a private home directory.
 */
async function makeScratch(directory: string): Promise<string> {
  if (isRoot()) {
    const scratch = join(directory, 'scratch')
    await mkdir(scratch)
    return scratch
  }
  const scratch = await mkdtemp('/var/tmp/pyro-environment-')
  await chmod(scratch, 0o711)
  await writeFile(join(directory, scratchNote), scratch)
  return scratch
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}

/** mmdebstrap splits its special hooks as a shell would. */
function hookWord(path: string): string {
  return `'${path.replaceAll("'", `'\\''`)}'`
}

/** What mmdebstrap says it does, and how much of the time has usually passed by then. */
const steps: [RegExp, string, number][] = [
  [/running apt-get update/, 'reading the Debian archive', 0.02],
  [/downloading packages/, 'downloading packages', 0.1],
  [/extracting archives/, 'unpacking', 0.3],
  [/installing essential packages/, 'installing essential packages', 0.4],
  [/installing remaining packages/, 'installing packages', 0.6],
  [/creating tarball/, 'packing the image', 0.9],
]

function stepReporter(progress: CallOptions['progress']): (line: string) => void {
  return (line) => {
    const step = steps.find(([pattern]) => pattern.test(line))
    if (step) progress?.({ phase: 'install', detail: step[1], fraction: step[2] })
  }
}

function buildError(error: unknown): unknown {
  if (!(error instanceof ProgramFailure)) return error
  const said = error.stderr.match(/^E: (?!.*(?:mmdebstrap|setup failed)).*$/m)?.[0].slice(3) ?? error.message
  return new PyroError('pull_failed', `the packages could not be installed: ${said}`, {
    hint: /chroot mode|unshare|newuidmap|subuid|user namespace/i.test(error.stderr)
      ? 'building without root needs user namespaces and an entry in /etc/subuid: apt-get install uidmap, or run it once as root'
      : 'check that deb.debian.org can be reached (apt uses http_proxy and its own proxy settings), then run the same command again',
    details: { output: error.stderr.trim().split('\n').slice(-20) },
    cause: error,
  })
}
