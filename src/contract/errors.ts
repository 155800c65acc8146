/**
 * Every way an operation can fail, by code. The set is closed: what is not in
 * this table is a fault of ours and surfaces as `internal`.
 */
export const errorCodes = {
  usage: 'the command line could not be parsed',
  invalid_argument: 'a value was refused before anything changed',
  unknown_environment: 'no environment of that name is in the catalogue',
  environment_not_installed: 'the environment is not in the cache and has no source',
  pull_failed: 'an environment could not be built or fetched',
  bundle_missing: 'the runtime bundle (kernel, agent, initramfs) is not there',
  bundle_damaged: 'a part of the runtime bundle does not match its checksum',
  template_damaged: 'a template does not match its manifest',
  guest_unavailable: 'no guest can boot on this host',
  vmm_missing: 'the program that runs virtual machines is not installed',
  vmm_exited: 'the virtual machine ended when it should not have',
  guest_unresponsive: 'the agent in the guest did not answer in time',
  guest_failed: 'the agent in the guest refused or failed a call',
  seed_invalid: 'a seed is missing, unreadable, unsafe or of an unknown kind',
  no_space: 'the disk is full',
  not_writable: 'a directory that pyro needs cannot be written',
  path_too_long: 'a socket path exceeds what the kernel allows',
  missing_dependency: 'a program that pyro needs is not installed',
  network_unavailable: 'the guest cannot have the network that was asked for',
  expired: 'a machine reached its time to live and was removed',
  not_found: 'there is no workspace, VM or command of that name',
  wrong_state: 'the thing is there, but not in the state that the operation needs',
  conflict: 'another operation on the same workspace is in the way',
  too_many_machines: 'no more machines fit on this host, and all are busy',
  state_in_use: 'another process owns the state directory',
  state_newer: 'the state directory was written by a newer pyro',
  daemon_unreachable: "the daemon's socket is held by something that is not pyro's daemon",
  daemon_unresponsive: 'the daemon does not answer',
  daemon_failed: 'the daemon could not start, or ended during the call',
  canceled: 'the caller gave up',
  internal: 'a fault in pyro itself',
} as const

export type ErrorCode = keyof typeof errorCodes

/** What to do next, where the place that failed knows nothing better. */
const usualHints: Record<ErrorCode, string> = {
  usage: 'add --help to the command to see what it takes',
  invalid_argument: 'add --help to the command to see what it takes',
  unknown_environment: '`pyro env list` shows what there is',
  environment_not_installed: '`pyro env pull` installs it',
  pull_failed: '`pyro env prune`, then the same command again, starts afresh',
  bundle_missing: 'run scripts/setup, which builds it',
  bundle_damaged: 'run scripts/setup, which builds it anew',
  template_damaged: 'run the same command again: the template is built anew',
  guest_unavailable: '`pyro doctor` says what is missing on this host',
  vmm_missing: 'install QEMU: apt-get install qemu-system-x86',
  vmm_exited: '`pyro doctor` boots a guest and says what works here',
  guest_unresponsive: '`pyro doctor` boots a guest and says what works here',
  guest_failed: 'run the same command again; if it fails again, please report it with PYRO_DEBUG=1 output',
  seed_invalid: 'give a directory, or a .tar, .tar.gz, .tgz or .tar.zst file',
  no_space: 'free some disk space, then run the same command again',
  not_writable: 'check its owner and permissions',
  path_too_long: 'set XDG_RUNTIME_DIR to a shorter directory, such as /run/user/$(id -u)',
  missing_dependency: 'run scripts/setup, which installs it',
  network_unavailable: 'run it without --network',
  expired: 'allow more with --ttl-seconds',
  not_found: '`pyro workspace list` shows what there is',
  wrong_state: '`pyro workspace status` shows its state',
  conflict: 'try again when it is done',
  too_many_machines: 'stop or delete some: `pyro workspace list` shows them; PYRO_MAX_MACHINES raises the limit',
  state_in_use: '`pyro daemon status` says who; an embedded engine needs a state directory of its own',
  state_newer: 'use that version of pyro, or another state directory (XDG_STATE_HOME)',
  daemon_unreachable: 'remove it, or choose another place with XDG_RUNTIME_DIR',
  daemon_unresponsive: '`pyro daemon stop --force` ends it; machines and workspaces stay',
  daemon_failed: '`pyro daemon logs` says why',
  canceled: 'run the same command again',
  internal: 'this is a fault in pyro: please report it with PYRO_DEBUG=1 output',
}

interface ErrorOptions {
  /** What to do next, as a command where there is one. */
  hint?: string
  details?: Record<string, unknown>
  cause?: unknown
}

/** The one error that leaves the engine. `message` says what happened, `hint` what to do next. */
export class PyroError extends Error {
  override readonly name = 'PyroError'
  readonly code: ErrorCode
  readonly hint: string
  readonly details: Record<string, unknown>

  constructor(code: ErrorCode, message: string, { hint, details = {}, cause }: ErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.hint = hint ?? usualHints[code]
    this.details = details
  }

  /** Gives any thrown value the shape that every front end renders. */
  static from(thrown: unknown): PyroError {
    if (thrown instanceof PyroError) return thrown
    if (isAbort(thrown)) return new PyroError('canceled', 'canceled', { cause: thrown })
    const cause = thrown as NodeJS.ErrnoException
    if (cause?.code === 'ENOSPC' || cause?.code === 'EDQUOT') return noSpace(cause.path ?? 'the disk', cause)
    if (cause?.code === 'EROFS' || cause?.code === 'EACCES') return notWritable(cause.path ?? 'a directory', cause)
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    return new PyroError('internal', message.split('\n', 1)[0] ?? 'unknown failure', { cause: thrown })
  }
}

export function noSpace(where: string, cause?: unknown): PyroError {
  return new PyroError('no_space', `no space left: ${where}`, {
    hint: 'free some disk space (`pyro env prune` removes what is unused), then run the same command again',
    cause,
  })
}

export function notWritable(where: string, cause?: unknown): PyroError {
  return new PyroError('not_writable', `cannot write: ${where}`, {
    hint: 'check its owner and permissions, or choose another place with XDG_CACHE_HOME, XDG_STATE_HOME or XDG_RUNTIME_DIR',
    cause,
  })
}

function isAbort(thrown: unknown): boolean {
  return thrown instanceof Error && (thrown.name === 'AbortError' || (thrown as { code?: unknown }).code === 'ABORT_ERR')
}
