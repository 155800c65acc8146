import type { Paths } from '../host/paths.ts'
import type { Progress } from '../contract/progress.ts'

/** What every operation of the engine is given. */
export interface Engine {
  paths: Paths
  /** The environment variables of whoever called: `PYRO_VMM` and the like. */
  env: NodeJS.ProcessEnv
}

/** What a single call may bring along. */
export interface CallOptions {
  progress?: Progress | undefined
  signal?: AbortSignal | undefined
}
