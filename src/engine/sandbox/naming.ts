import { randomBytes } from 'node:crypto'
import { PyroError } from '../../contract/errors.ts'
import type { SandboxRow } from '../../store/rows.ts'

const nouns: Record<SandboxRow['kind'], string> = { workspace: 'workspace', vm: 'VM' }

/** What people call it. */
export function noun({ kind }: Pick<SandboxRow, 'kind'>): string {
  return nouns[kind]
}

export function doesNotExist(kind: SandboxRow['kind'], id: string): PyroError {
  return new PyroError('not_found', `${nouns[kind]} '${id}' does not exist`, kind === 'vm' ? { hint: 'VMs are removed after their command and when their time is over' } : {})
}

/** 12 hexadecimal digits. */
export function newSandboxId(): string {
  return randomBytes(6).toString('hex')
}
