import type { PyroError } from '../contract/errors.ts'

/** One JSON document: two spaces, keys sorted, so that two runs can be compared. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => (isPlain(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner), 2)
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An error as `--json` prints it. */
export function errorObject(error: PyroError): Record<string, unknown> {
  return { ok: false, error: error.message, code: error.code, hint: error.hint }
}

/** An error as a person reads it. */
export function errorLines(error: PyroError): string {
  return `[error] ${error.message}\n[hint] ${error.hint}\n`
}

export function yesNo(value: boolean): string {
  return value ? 'yes' : 'no'
}
