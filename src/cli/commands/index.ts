import type { CommandContext } from './command.ts'

/** What is behind each command, loaded when it is called. */
export const commands: Record<string, () => Promise<(input: never, context: CommandContext) => Promise<number>>> = {
  run: async () => (await import('./run.ts')).run,
  'env list': async () => (await import('./env.ts')).list,
  'env pull': async () => (await import('./env.ts')).pull,
  'env inspect': async () => (await import('./env.ts')).inspect,
  'env prune': async () => (await import('./env.ts')).prune,
  'workspace create': async () => (await import('./workspace/life.ts')).create,
  'workspace list': async () => (await import('./workspace/list.ts')).list,
  'workspace update': async () => (await import('./workspace/record.ts')).update,
  'workspace status': async () => (await import('./workspace/record.ts')).status,
  'workspace exec': async () => (await import('./workspace/exec.ts')).exec,
  'workspace logs': async () => (await import('./workspace/logs.ts')).logs,
  'workspace stop': async () => (await import('./workspace/life.ts')).stop,
  'workspace start': async () => (await import('./workspace/life.ts')).start,
  'workspace delete': async () => (await import('./workspace/life.ts')).remove,
  'daemon status': async () => (await import('./daemon.ts')).status,
  'daemon stop': async () => (await import('./daemon.ts')).stop,
  'daemon logs': async () => (await import('./daemon.ts')).logs,
  'daemon serve': async () => (await import('./daemon.ts')).serve,
  doctor: async () => (await import('./doctor.ts')).doctor,
}
