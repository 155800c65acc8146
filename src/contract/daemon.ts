import { z } from 'zod'
import { between } from './fields.ts'
import { operation } from './operation.ts'

/** What the CLI does about the daemon itself; the daemon does not serve these. */

const places = {
  socket: z.string(),
  state_dir: z.string(),
  log: z.string(),
}

export const statusDaemon = operation({
  name: 'daemon_status',
  summary: 'Show whether the daemon runs, and what it has to do',
  input: z.strictObject({}),
  output: z.discriminatedUnion('running', [
    z.object({ running: z.literal(false), ...places }),
    z.object({
      running: z.literal(true),
      ...places,
      pid: z.int(),
      version: z.string(),
      build: z.string(),
      protocol: z.int(),
      /** Seconds since the epoch, with fraction. */
      started_at: z.number(),
      memory_bytes: z.int(),
      /** Calls in progress. */
      calls: z.int(),
      workspaces: z.int(),
      machines: z.object({ running: z.int(), paused: z.int(), warm: z.int() }),
      /** How the records were found again after they had been damaged; told for as long as the damaged file is kept. */
      recovery: z
        .object({
          recorded_at: z.number(),
          reason: z.string(),
          backup: z.string().nullable(),
          found: z.array(z.string()),
          ignored: z.array(z.object({ path: z.string(), reason: z.string() })),
        })
        .nullable(),
    }),
  ]),
})

export const stopDaemon = operation({
  name: 'daemon_stop',
  summary: 'Stop the daemon; machines go on by themselves, and the next command starts another',
  input: z.strictObject({
    machines: z.boolean().default(false).describe('Stop every machine first: workspaces keep their disks'),
    force: z.boolean().default(false).describe('Kill a daemon that does not answer'),
  }),
  output: z.object({ stopped: z.boolean() }),
})

export const logsDaemon = operation({
  name: 'daemon_logs',
  summary: "Show the daemon's log",
  input: z.strictObject({
    lines: between('lines', 1, 100_000).default(100).describe('How many of the last lines'),
    follow: z.boolean().default(false).describe('Go on with what is added'),
  }),
  output: z.object({ log: z.string(), lines: z.array(z.string()) }),
})

export const serveDaemon = operation({
  name: 'daemon_serve',
  summary: 'Be the daemon, in the foreground',
  input: z.strictObject({}),
  output: z.null(),
})
