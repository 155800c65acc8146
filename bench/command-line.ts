import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { bareFork } from './floor.ts'
import { median, type Row, timed } from './statistics.ts'
import { environment, staticProgram, type Subject } from './subject.ts'

const samples = 20

/** What a person types, as whole processes. */
export async function commandLineRows({ root, floor: template }: Subject): Promise<Row[]> {
  const pyro = join(root, 'bin/pyro')
  const whole = (program: string, ...args: string[]) => timed(async () => void execFileSync(program, args, { stdio: 'ignore' }))
  const [node, version, help, floor, runs]: number[][] = [[], [], [], [], []]
  for (let i = 0; i < samples; i++) {
    node?.push(await whole(process.execPath, '-e', '0'))
    version?.push(await whole(pyro, '--version'))
    help?.push(await whole(pyro, '--help'))
    floor?.push(await bareFork(template, staticProgram))
    runs?.push(await whole(pyro, 'run', environment, '--', '/bin/true'))
  }
  const start = median(node as number[])
  return [
    { what: 'pyro --version', samples: version as number[], unit: 'ms', floor: start, floorText: 'node -e 0', limit: 1.6 },
    { what: 'pyro --help', samples: help as number[], unit: 'ms', floor: start, floorText: 'node -e 0', limit: 1.6 },
    {
      what: 'pyro run debian:12-base -- /bin/true',
      samples: runs as number[],
      unit: 'ms',
      floor: 1.6 * median(floor as number[]) + 4 * start,
      floorText: '1.6 × bare fork + 4 × node -e 0',
      limit: 1,
    },
  ]
}
