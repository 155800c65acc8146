import type { Row } from './statistics.ts'
import { idleForkRows } from './idle-fork.ts'
import type { Subject } from './subject.ts'

export async function memoryRows(subject: Subject): Promise<Row[]> {
  return idleForkRows(subject)
}
