import type { InputOf, OutputOf } from './operation.ts'
import type { OperationName, OperationNamed } from './operations.ts'
import type { Progress } from './progress.ts'

/** What a command says of itself once it has its place in the log: enough to follow it again. */
export interface Started {
  sequence: number
  cwd: string
}

/** What a single call may bring along, whoever carries it out. */
export interface Call {
  /** Gives the call up; whatever it had begun is undone or ended. */
  signal?: AbortSignal | undefined
  progress?: Progress | undefined
  /** Every byte as it comes; awaited, so that a slow reader holds the command. */
  onOutput?: ((stream: 'stdout' | 'stderr', data: Uint8Array) => void | Promise<void>) | undefined
  onStarted?: ((started: Started) => void) | undefined
  /** What the command reads, for operations whose input says that it is interactive. */
  stdin?: AsyncIterable<Uint8Array> | undefined
}

/** Carries out operations: the daemon's client and an embedded engine alike. Failures are `PyroError`. */
export interface Caller {
  call<Name extends OperationName>(name: Name, input: InputOf<OperationNamed<Name>>, call?: Call): Promise<OutputOf<OperationNamed<Name>>>
}
