import type { CommandContext } from './command.ts'

/** What is behind each command, loaded when it is called. */
export const commands: Record<string, () => Promise<(input: never, context: CommandContext) => Promise<number>>> = {
  run: async () => (await import('./run.ts')).run,
  'env list': async () => (await import('./env.ts')).list,
  'env pull': async () => (await import('./env.ts')).pull,
  'env inspect': async () => (await import('./env.ts')).inspect,
  'env prune': async () => (await import('./env.ts')).prune,
  doctor: async () => (await import('./doctor.ts')).doctor,
}
