import type { SQLInputValue, SQLOutputValue } from 'node:sqlite'

/** One value of a row: how it is kept in a column, and what it must be. Checks throw a reason to read after the field's name. */
interface Field<T> {
  check(value: unknown): T
  toColumn(value: T): SQLInputValue
  /** The value that a column stands for, to be checked. */
  fromColumn(value: SQLOutputValue): unknown
}

export type Fields<Row> = { [Name in keyof Row]-?: Field<Row[Name]> }

function field<T extends SQLInputValue>(what: string, is: (value: unknown) => value is T): Field<T> {
  return {
    check(value) {
      if (!is(value)) throw new Error(`is not ${what}`)
      return value
    },
    toColumn: (value) => value,
    fromColumn: (value) => value,
  }
}

export const text = field('a text', (value): value is string => typeof value === 'string')
export const time = field('a time', (value): value is number => typeof value === 'number' && Number.isFinite(value))
/** Columns of whole numbers are read as bigint: one that is too large for a number would otherwise make its whole row unreadable. */
const plain = (value: SQLOutputValue) => (typeof value === 'bigint' ? Number(value) : value)

export const integer: Field<number> = { ...field('a whole number', (value): value is number => Number.isSafeInteger(value)), fromColumn: plain }
export const count: Field<number> = { ...field('a whole number of at least 0', (value): value is number => Number.isSafeInteger(value) && (value as number) >= 0), fromColumn: plain }

export function oneOf<const T extends string>(...words: T[]): Field<T> {
  return field(`one of ${words.join(', ')}`, (value): value is T => words.includes(value as T))
}

export const flag: Field<boolean> = {
  check(value) {
    if (typeof value !== 'boolean') throw new Error('is neither true nor false')
    return value
  },
  toColumn: Number,
  fromColumn: (value) => (value === 0n ? false : value === 1n ? true : value),
}

export function nullable<T>(field: Field<T>): Field<T | null> {
  return {
    check: (value) => (value === null ? null : field.check(value)),
    toColumn: (value) => (value === null ? null : field.toColumn(value)),
    fromColumn: (value) => (value === null ? null : field.fromColumn(value)),
  }
}

/** A value kept as JSON. */
export function json<T>(check: (value: unknown) => T): Field<T> {
  return {
    check,
    toColumn: (value) => JSON.stringify(check(value)),
    fromColumn(value) {
      if (typeof value !== 'string') throw new Error('is not JSON')
      return JSON.parse(value)
    },
  }
}

export function object(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('is not an object')
  return value as Record<string, unknown>
}

export function texts(value: unknown): Record<string, string> {
  for (const [key, entry] of Object.entries(object(value))) if (typeof entry !== 'string') throw new Error(`has no text for ${JSON.stringify(key)}`)
  return value as Record<string, string>
}

/** Takes exactly the fields of a row from an object of any origin. */
export function checkRow<Row>(fields: Fields<Row>, source: Record<string, unknown>): Row {
  return Object.fromEntries(names(fields).map((name) => [name, named(name, () => fields[name].check(Object.hasOwn(source, name) ? source[name] : undefined))])) as Row
}

export function fromColumns<Row>(fields: Fields<Row>, columns: Record<string, SQLOutputValue>): Row {
  return checkRow(
    fields,
    Object.fromEntries(names(fields).map((name) => [name, named(name, () => fields[name].fromColumn(columns[columnOf(name)] ?? null))])),
  )
}

/** Values to bind by the column's name. Checked, so that nothing is written that could not be read again. */
export function toColumns<Row>(fields: Fields<Row>, row: Partial<Row>): Record<string, SQLInputValue> {
  const given = names(fields).filter((name) => row[name] !== undefined)
  return Object.fromEntries(given.map((name) => [columnOf(name), named(name, () => fields[name].toColumn(fields[name].check(row[name])))]))
}

export function names<Row>(fields: Fields<Row>): (keyof Row & string)[] {
  return Object.keys(fields) as (keyof Row & string)[]
}

export function columnOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function named<T>(name: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw new Error(`${name} ${error instanceof SyntaxError ? 'is not JSON' : (error as Error).message}`, { cause: error })
  }
}
