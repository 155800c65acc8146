import * as contract from '../../contract/environments.ts'
import { type InputOf, type OutputOf, parseInput } from '../../contract/operation.ts'
import type { CallOptions, Engine } from '../engine.ts'
import * as environments from './environment.ts'
import type { RegistryOption } from './payload.ts'

/** The contract's operations on environments: input checked, the caller's settings applied. */

export async function listEnvironments(engine: Engine, input: InputOf<typeof contract.listEnvironments>): Promise<OutputOf<typeof contract.listEnvironments>> {
  parseInput(contract.listEnvironments, input)
  return environments.listEnvironments(engine.paths, registry(engine))
}

export async function inspectEnvironment(engine: Engine, input: InputOf<typeof contract.inspectEnvironment>): Promise<OutputOf<typeof contract.inspectEnvironment>> {
  const { environment } = parseInput(contract.inspectEnvironment, input)
  return environments.inspectEnvironment(engine.paths, environment, registry(engine))
}

interface PullOptions extends CallOptions {
  onStart?: (() => void) | undefined
}

export async function pullEnvironment(
  engine: Engine,
  input: InputOf<typeof contract.pullEnvironment>,
  { onStart, ...options }: PullOptions = {},
): Promise<OutputOf<typeof contract.pullEnvironment>> {
  const { environment } = parseInput(contract.pullEnvironment, input)
  onStart?.()
  return environments.pullEnvironment(engine.paths, environment, { ...options, ...registry(engine) })
}

export async function pruneEnvironments(engine: Engine, input: InputOf<typeof contract.pruneEnvironments>): Promise<OutputOf<typeof contract.pruneEnvironments>> {
  parseInput(contract.pruneEnvironments, input)
  return environments.pruneEnvironments(engine.paths)
}

function registry({ env }: Engine): RegistryOption {
  return env['PYRO_REGISTRY'] ? { registry: env['PYRO_REGISTRY'] } : {}
}
