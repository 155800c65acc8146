import { join } from 'node:path'
import type { Paths } from '../../host/paths.ts'
import { consoleBytes, machineOf, monitor } from '../monitor.ts'
import type { Machine } from '../vmm.ts'

interface HostOptions {
  id: string
  /** The directory that stands for the guest's root, inside of the machine's own. */
  root: string
  signal?: AbortSignal | undefined
}

/**
 * A machine that is none: the agent as an ordinary process of this host, without isolation.
 * Its monitor ends it, and all that it started, with us.
 */
export async function startHostMachine(paths: Paths, { id, root, signal }: HostOptions): Promise<Machine> {
  const monitored = await monitor(
    paths,
    {
      id,
      directory: join(paths.machines, id),
      sockets: join(paths.sockets, id),
      copies: [],
      locks: [],
      listen: [{ name: 'control', file: 'control' }],
      open: [],
      argv: [join(paths.programs, 'pyro-agent'), 'serve', '--listen', '{control}', '--root', root],
      console: { name: '', bytes: consoleBytes },
    },
    signal,
  )
  try {
    const { pid } = await monitored.started
    return machineOf(id, pid, monitored)
  } catch (error) {
    await monitored[Symbol.asyncDispose]()
    throw error
  }
}
