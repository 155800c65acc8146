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

/** Text that somebody else chose: no control character of it reaches a terminal, each shows as an escape. */
export function escaped(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => escapes[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

const escapes: Record<string, string> = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '\x1b': '\\e' }

/** Parts of a line; where they do not fit they go on, indented, in the next. */
export function wrapped(parts: string[], columns: number): string {
  const lines: string[] = []
  for (const part of parts) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + part.length <= columns) lines[lines.length - 1] = `${last} ${part}`
    else lines.push(last === undefined ? part : `    ${part}`)
  }
  return lines.join('\n')
}
