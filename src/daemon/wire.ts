import { type ErrorCode, errorCodes, PyroError } from '../contract/errors.ts'

/**
 * What client and daemon have to agree on. A call is an HTTP/1.1 request on the daemon's socket with `Expect: 100-continue`: the
 * daemon's 100 says that it has taken the call on; until then nothing has happened, and the client may turn elsewhere.
 *
 * - `POST /rpc/<operation>`: oRPC's RPC protocol, for calls whose input and output are JSON.
 * - `POST /stream/<operation>`: the input as one line of JSON, then what the command reads; answered by frames (frames.ts).
 * - `GET /control/status`, `POST /control/leave`: of every build and protocol.
 *
 * 409: the caller's build is newer, the daemon should hand over. 426: the caller's protocol is not spoken. 503: the daemon is leaving.
 */
export const protocol = 1

export const header = {
  protocol: 'x-pyro-protocol',
  build: 'x-pyro-build',
  /** The caller's PYRO_VMM, for this call alone. */
  vmm: 'x-pyro-vmm',
  /** `none`: the caller does not want the output of the command as it comes. */
  output: 'x-pyro-output',
  /** Of `leave`: only a daemon of this build is meant. */
  ifBuild: 'x-pyro-if-build',
} as const

/** An input may have so many bytes as JSON: 32 MiB. */
export const longestInput = 32 * 1024 ** 2

/** Operations that go over the stream route in any case, so that the client can take them up again when their daemon goes. */
export const followable: ReadonlySet<string> = new Set(['workspace_exec', 'workspace_follow'])

/** Environment variables of the caller that count for its calls, and the headers that carry them. */
export const callerVariables = { PYRO_VMM: header.vmm } as const

/** An error as JSON. */
export interface WireError {
  code: string
  message: string
  hint: string
  details?: Record<string, unknown>
}

export function errorToWire({ code, message, hint, details }: PyroError): WireError {
  return { code, message, hint, details }
}

/** An error as the daemon sent it; one of another build may have a code that is unknown here. */
export function errorFromWire({ code, message, hint, details = {} }: WireError): PyroError {
  return new PyroError(code in errorCodes ? (code as ErrorCode) : 'internal', message, { hint, details })
}

/** What `GET /control/status` answers. */
export interface DaemonStatus {
  pid: number
  version: string
  build: string
  protocol: number
  /** Seconds since the epoch, with fraction. */
  started_at: number
  /** Resident memory. */
  memory_bytes: number
  /** Calls in progress. */
  calls: number
  workspaces: number
  machines: { running: number; paused: number; warm: number }
  /** How the records were found again after they had been damaged; null when there is nothing to tell of that. */
  recovery: {
    recorded_at: number
    reason: string
    /** Where the damaged records are kept; null when there were none. */
    backup: string | null
    found: string[]
    /** Directories that hold no usable record. */
    ignored: { path: string; reason: string }[]
  } | null
}
