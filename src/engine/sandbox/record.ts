import type { SandboxRow } from '../../store/rows.ts'
import type { Orchestrator } from '../orchestrator/orchestrator.ts'
import { writeRecordFile } from '../../store/record-file.ts'

/** Writes beside the disk what it takes to find the sandbox again should the store be lost. A full disk must not stop what is being recorded. */
export function saveRecord({ paths }: Orchestrator, row: SandboxRow): void {
  try {
    writeRecordFile(paths, row)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}
