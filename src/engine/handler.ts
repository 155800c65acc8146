import type { Call } from '../contract/call.ts'
import type { OutputOf } from '../contract/operation.ts'
import type { OperationName, OperationNamed } from '../contract/operations.ts'
import type { Orchestrator } from './orchestrator/orchestrator.ts'

/** Carries out one operation. The input is as the caller gave it: the handler checks it. */
export type Handler<Name extends OperationName> = (orchestrator: Orchestrator, input: unknown, call: Call) => Promise<OutputOf<OperationNamed<Name>>>
