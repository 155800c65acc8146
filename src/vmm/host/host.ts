import { join } from 'node:path'
import { PyroError } from '../../contract/errors.ts'
import type { Paths } from '../../host/paths.ts'
import { machineOf, type Moves } from '../machine.ts'
import { adoptMonitored, commonSpec, monitor } from '../monitor.ts'
import type { LaunchOptions, Machine } from '../vmm.ts'

interface HostOptions extends Pick<LaunchOptions, 'id' | 'holds' | 'detached' | 'signal'> {
  /** The directory that stands for the guest's root. In the machine's own directory it goes with the machine. */
  root: string
}

/**
 * A machine that is none: the agent as an ordinary process of this host, without isolation.
 * Its monitor ends it, and all that it started, with us or with its lease.
 */
export async function startHostMachine(paths: Paths, { root, signal, ...options }: HostOptions): Promise<Machine> {
  const monitored = await monitor(
    paths,
    {
      ...commonSpec(paths, { ...options, console: '' }),
      listen: [{ name: 'control', file: 'control' }],
      open: [],
      argv: [join(paths.programs, 'pyro-agent'), 'serve', '--listen', '{control}', '--root', root],
    },
    signal,
  )
  try {
    const { pid } = await monitored.started
    return machineOf({ id: options.id, pid, monitored, detached: options.detached !== undefined, moves })
  } catch (error) {
    await monitored[Symbol.asyncDispose]()
    throw error
  }
}

/** The detached host machine of that id, or undefined when there is none. */
export async function adoptHostMachine(paths: Paths, id: string): Promise<Machine | undefined> {
  const monitored = await adoptMonitored(paths, id)
  if (!monitored) return undefined
  const { pid } = await monitored.started
  return machineOf({ id, pid, monitored, detached: true, moves })
}

/** Processes of the host go on running; they write to the host's own file system. */
const moves: Moves = {
  pausable: false,
  pause: async () => {},
  resume: async () => {},
  isPaused: async () => false,
  exchange: () => Promise.reject(new PyroError('internal', 'a machine on the host has no drives')),
  onStalled: () => {},
}
