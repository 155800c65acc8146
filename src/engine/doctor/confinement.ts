import type { OutputOf } from '../../contract/operation.ts'
import type { doctor } from '../../contract/doctor.ts'
import { PyroError } from '../../contract/errors.ts'
import { startHostProgram } from '../../host/program.ts'
import type { Paths } from '../../host/paths.ts'

type Rows = OutputOf<typeof doctor>['confinement']

/**
 * Starts a probe where a VMM would be, confined as one, and tells what holds. It takes some 50 ms, so it is asked anew each
 * time: what a host allows can change while it is up.
 */
export async function confinement(paths: Paths): Promise<Rows> {
  try {
    await using program = startHostProgram(paths, ['examine'], 'internal')
    return (await program.next('examined'))['rows'] as Rows
  } catch (error) {
    return [{ name: 'probe', status: 'unknown', details: `no confined program could be started: ${PyroError.from(error).message}` }]
  }
}
