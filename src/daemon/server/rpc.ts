import type { IncomingMessage, ServerResponse } from 'node:http'
import { ORPCError, os } from '@orpc/server'
import { RPCHandler } from '@orpc/server/node'
import { PyroError } from '../../contract/errors.ts'
import { errorToWire } from '../wire.ts'

/** What an RPC needs of the request that it came by. */
export interface RpcContext {
  /** Carries the operation out. Failures are `PyroError`. */
  carryOut(input: unknown): Promise<unknown>
}

/** Resolves to whether there is such an operation; nothing is answered otherwise. */
export type AnswerRpc = (request: IncomingMessage, response: ServerResponse, context: RpcContext) => Promise<boolean>

/** Answers oRPC's RPC protocol below `/rpc`. Handlers check their input themselves, by the same schemas for every front end. */
export function rpcAnswerer(names: string[]): AnswerRpc {
  const procedure = os.$context<RpcContext>()
  const router = Object.fromEntries(names.map((name) => [name, procedure.handler(({ input, context }) => context.carryOut(input).catch(refuse))]))
  const handler = new RPCHandler<RpcContext>(router)
  return async (request, response, context) => (await handler.handle(request, response, { prefix: '/rpc', context })).matched
}

function refuse(thrown: unknown): never {
  const { code, message, ...data } = errorToWire(PyroError.from(thrown))
  throw new ORPCError(code, { status: code === 'internal' ? 500 : 422, message, data })
}
