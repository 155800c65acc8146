import type { InputOf } from '../contract/operation.ts'
import type { OperationName, OperationNamed } from '../contract/operations.ts'

type Camel<Name extends string> = Name extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : Name

/** The fields of an operation's input in camelCase, without those that a method takes by themselves. */
export type OptionsOf<Name extends OperationName, Taken extends string = never> = {
  [Field in keyof InputOf<OperationNamed<Name>> as Field extends Taken ? never : Camel<Field & string>]: InputOf<OperationNamed<Name>>[Field]
}

/** An operation's input of the options given for it. Only the fields' own names change: keys of labels and variables are the caller's. */
export function inputOf<Name extends OperationName>(options: object): InputOf<OperationNamed<Name>> {
  const fields = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(fields.map(([name, value]) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value])) as InputOf<OperationNamed<Name>>
}
