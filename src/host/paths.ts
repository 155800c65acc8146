import { createHash } from 'node:crypto'
import { accessSync, constants } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where pyro keeps things. Every path is absolute; nothing is created by resolving them. */
export interface Paths {
  /** Root of all that can be made again. */
  cache: string
  /** Installed environments, by platform and name. */
  environments: string
  /** Runtime bundles: kernel, modules, initramfs, blank disk. */
  runtime: string
  /** `runtime` is one bundle given by the user rather than a directory of ours. */
  runtimeGiven: boolean
  templates: string
  seeds: string
  /** Verdicts of boot probes. */
  probes: string
  /** Root of what must not be lost. */
  state: string
  /** Records and events. */
  store: string
  /** Held by an exclusive transaction for as long as somebody owns the state directory. */
  owner: string
  /** Held by an exclusive transaction while a client starts the daemon. */
  start: string
  /** One directory per workspace or VM: its disk, its images, what its commands wrote. */
  workspaces: string
  daemonLog: string
  /** In a directory of its own, which only we may enter. */
  daemonSocket: string
  /** One directory per machine: its lock, and the disk of one that dies with it. */
  machines: string
  /** One directory per machine: its sockets. */
  sockets: string
  /** The static programs built from `native/`. */
  programs: string
}

/** Follows the XDG base directory specification; `PYRO_*` variables override single places. */
export function resolvePaths(env: NodeJS.ProcessEnv = process.env): Paths {
  const home = env['HOME'] || homedir()
  const cache = given(env, 'PYRO_CACHE_DIR') ?? join(absolute(env['XDG_CACHE_HOME']) ?? join(home, '.cache'), 'pyro-mcp')
  const state = given(env, 'PYRO_BASE_DIR') ?? join(absolute(env['XDG_STATE_HOME']) ?? join(home, '.local', 'state'), 'pyro-mcp')
  const runtime = runtimeDirectory(env, state)
  const bundle = given(env, 'PYRO_RUNTIME_BUNDLE_DIR')
  return {
    cache,
    environments: given(env, 'PYRO_ENVIRONMENT_CACHE_DIR') ?? join(cache, 'environments'),
    runtime: bundle ?? join(cache, 'runtime'),
    runtimeGiven: bundle !== undefined,
    templates: join(cache, 'templates'),
    seeds: join(cache, 'seeds'),
    probes: join(cache, 'probes'),
    state,
    store: join(state, 'pyro.db'),
    owner: join(state, 'owner.db'),
    start: join(state, 'start.db'),
    workspaces: join(state, 'workspaces'),
    daemonLog: join(state, 'daemon.log'),
    daemonSocket: join(runtime, 'd', createHash('sha256').update(state).digest('hex').slice(0, 12), 'daemon'),
    machines: join(state, 'machines'),
    sockets: join(runtime, 'm'),
    programs: given(env, 'PYRO_PROGRAMS_DIR') ?? join(packageRoot(), 'dist', 'native'),
  }
}

function given(env: NodeJS.ProcessEnv, name: string): string | undefined {
  return env[name] ? resolve(env[name]) : undefined
}

/** The specification tells to ignore a relative path. */
function absolute(path: string | undefined): string | undefined {
  return path?.startsWith('/') ? path : undefined
}

function runtimeDirectory(env: NodeJS.ProcessEnv, state: string): string {
  const given = absolute(env['XDG_RUNTIME_DIR'])
  if (given) return join(given, 'pyro-mcp')
  const usual = `/run/user/${process.getuid?.() ?? 0}`
  try {
    accessSync(usual, constants.W_OK)
    return join(usual, 'pyro-mcp')
  } catch {
    return join(state, 'run')
  }
}

/** The directory that holds `package.json`, seen from `src/host/` as from the bundle in `dist/cli/`. */
export function packageRoot(): string {
  return resolve(fileURLToPath(import.meta.url), '../../..')
}
