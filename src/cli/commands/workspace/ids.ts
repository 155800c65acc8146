import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Paths } from '../../../host/paths.ts'
import { escaped } from '../../render.ts'

/**
 * The ids of the workspaces, each with its name behind a tab where it has one, as the files beside their disks tell:
 * for completion, which must be quick and must not start the daemon.
 */
export function recordedIds({ workspaces }: Paths): string[] {
  return names(workspaces).flatMap((id) => {
    const record = recordOf(join(workspaces, id, 'record.json'))
    if (record?.['kind'] !== 'workspace') return []
    const name = record['name']
    return [typeof name === 'string' ? `${id}\t${escaped(name)}` : id]
  })
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function recordOf(path: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  } catch {
    return undefined // being made, or being deleted
  }
}
