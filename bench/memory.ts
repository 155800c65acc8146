import { readFileSync } from 'node:fs'
import { runStatic, startFork } from './forks.ts'
import type { Row } from './statistics.ts'
import type { Subject } from './subject.ts'

/** Private MiB of a process: of the mapping of one file, or of all. https://www.kernel.org/doc/html/latest/filesystems/proc.html */
function privateMib(pid: number, file?: string): number {
  let counts = false
  let kib = 0
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) counts = file === undefined || line.endsWith(file)
    else if (counts && /^Private_(Dirty|Clean):/.test(line) && !(line.startsWith('Private_Clean') && file !== undefined)) kib += Number(/\d+/.exec(line)?.[0])
  }
  return kib / 1024
}

/** What a fork costs that has run one program and waits for the next. */
export async function memoryRows(subject: Subject): Promise<Row[]> {
  const guest: number[] = []
  const vmm: number[] = []
  for (let i = 0; i < 5; i++) {
    await using machine = await startFork(subject)
    await runStatic(machine)
    guest.push(privateMib(machine.pid, subject.floor.memory))
    vmm.push(privateMib(machine.pid))
  }
  return [
    { what: 'idle fork: guest memory of its own', samples: guest, unit: 'MiB', floor: 16, floorText: 'limit', limit: 1 },
    { what: 'idle fork: private memory of the VMM', samples: vmm, unit: 'MiB', floor: 110, floorText: 'limit', limit: 1 },
  ]
}
