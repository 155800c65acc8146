import { z } from 'zod'
import { PyroError } from './errors.ts'

/** A public operation: the CLI, the SDK and the MCP server take all they know of it from here. */
export interface Operation<Input extends z.ZodObject = z.ZodObject, Output extends z.ZodType = z.ZodType> {
  /** The operation's name in MCP and in the daemon's routes. */
  name: string
  /** One line: what it does for the user. */
  summary: string
  input: Input
  output: Output
}

export function operation<Input extends z.ZodObject, Output extends z.ZodType>(definition: Operation<Input, Output>): Operation<Input, Output> {
  return definition
}

export type InputOf<O extends Operation> = z.input<O['input']>
export type ParsedInputOf<O extends Operation> = z.output<O['input']>
export type OutputOf<O extends Operation> = z.output<O['output']>

/** Fills in defaults and refuses what is out of range; nothing has happened yet when it throws. */
export function parseInput<O extends Operation>(definition: O, input: unknown): ParsedInputOf<O> {
  const parsed = definition.input.safeParse(input)
  if (parsed.success) return parsed.data as ParsedInputOf<O>
  const [issue] = parsed.error.issues
  const field = issue?.path.join('.') ?? ''
  const message = issue?.message ?? 'invalid input'
  throw new PyroError('invalid_argument', message.includes(field) ? message : `${field}: ${message}`, { details: { field } })
}
