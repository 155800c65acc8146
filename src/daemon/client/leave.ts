import { errorFromWire, header, type WireError } from '../wire.ts'
import { Cut, knock, type Target, textOf } from './knock.ts'

interface Leave {
  /** Only a daemon of this build is meant. */
  build?: string | undefined
  /** End every machine first. */
  machines?: boolean | undefined
  signal?: AbortSignal | undefined
}

/** Asks the daemon to leave and waits until its process has ended. False when there is none, or not the one that is meant. */
export async function askToLeave(target: Target, { build, machines, signal }: Leave): Promise<boolean> {
  const begun = await knock({ paths: target.paths, build: target.build }, { method: 'POST', path: '/control/leave', headers: build ? { [header.ifBuild]: build } : {}, signal })
  if (!('request' in begun)) {
    if (begun.refused === 'error') throw begun.error
    return false
  }
  begun.request.end(JSON.stringify({ machines: machines ?? false }))
  try {
    // It ends with the process, without an end: what it says before is a failure to leave.
    const { error } = JSON.parse(await textOf(await begun.response)) as { error: WireError }
    throw errorFromWire(error)
  } catch (error) {
    if (error instanceof Cut) return true
    throw error
  }
}
