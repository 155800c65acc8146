import * as daemon from '../contract/daemon.ts'
import { doctor } from '../contract/doctor.ts'
import { inspectEnvironment, listEnvironments, pruneEnvironments, pullEnvironment } from '../contract/environments.ts'
import type { Operation } from '../contract/operation.ts'
import { run } from '../contract/run.ts'
import * as workspaces from '../contract/workspaces.ts'
import type { FlagRules, GroupSpec, OptionSpec } from './spec.ts'

/** How an operation becomes a command; what is not said here the contract says. */
export interface Exposure extends FlagRules {
  path: string[]
  operation: Operation
  positionals?: { name: string; field: string }[]
  rest?: { name: string; field: string }
  /** Where a flag is more than the field's name with dashes. */
  flags?: Record<string, Partial<Pick<OptionSpec, 'flag' | 'short' | 'placeholder'>>>
  /** The CLI's own, beside `--json`. */
  own?: OptionSpec[]
  examples: string[]
  hidden?: boolean
}

const environment = [{ name: 'ENVIRONMENT', field: 'environment' }]
const workspace = [{ name: 'WORKSPACE_ID', field: 'workspace_id' }]
const command = { name: 'ARG', field: 'command' }
const label = { flag: '--label', placeholder: 'KEY=VALUE' }

const idOnly: OptionSpec = { flag: '--id-only', field: null, type: 'boolean', description: 'Print the id alone', default: false }
/** What completion asks; answered without the daemon. */
const ids: OptionSpec = { flag: '--ids', field: null, type: 'boolean', description: 'Print the ids alone', default: false, hidden: true }

export const exposures: Exposure[] = [
  {
    path: ['run'],
    operation: run,
    positionals: environment,
    rest: command,
    examples: [
      'pyro run debian:12 -- git --version',
      'pyro run debian:12-build --seed-path . --timeout-seconds 600 -- make test',
      "pyro run debian:12 --json -- sh -lc 'uname -r; id'",
    ],
  },
  { path: ['env', 'list'], operation: listEnvironments, examples: ['pyro env list'] },
  { path: ['env', 'pull'], operation: pullEnvironment, positionals: environment, examples: ['pyro env pull debian:12'] },
  { path: ['env', 'inspect'], operation: inspectEnvironment, positionals: environment, examples: ['pyro env inspect debian:12 --json'] },
  { path: ['env', 'prune'], operation: pruneEnvironments, examples: ['pyro env prune'] },
  {
    path: ['workspace', 'create'],
    operation: workspaces.createWorkspace,
    positionals: environment,
    flags: { labels: label, seed_path: { placeholder: 'PATH' }, exclude: { placeholder: 'PATTERN' }, name: { placeholder: 'NAME' } },
    own: [idOnly],
    exclusive: [['--json', '--id-only']],
    examples: [
      'pyro workspace create debian:12-build --seed-path . --exclude node_modules',
      'pyro workspace create debian:12 --name bug-hunt --label issue=42',
      'id=$(pyro workspace create debian:12 --id-only)',
    ],
  },
  { path: ['workspace', 'list'], operation: workspaces.listWorkspaces, own: [ids], exclusive: [['--json', '--ids']], examples: ['pyro workspace list'] },
  {
    path: ['workspace', 'update'],
    operation: workspaces.updateWorkspace,
    positionals: workspace,
    flags: { labels: label, clear_labels: { flag: '--clear-label', placeholder: 'KEY' }, name: { placeholder: 'NAME' } },
    exclusiveAtRun: [['--name', '--clear-name']],
    examples: ['pyro workspace update WORKSPACE_ID --name fixed --label state=done --clear-label issue'],
  },
  { path: ['workspace', 'status'], operation: workspaces.statusWorkspace, positionals: workspace, examples: ['pyro workspace status WORKSPACE_ID'] },
  {
    path: ['workspace', 'exec'],
    operation: workspaces.execWorkspace,
    positionals: workspace,
    rest: command,
    flags: { env: { placeholder: 'NAME=VALUE' }, interactive: { short: '-i' }, cwd: { placeholder: 'PATH' } },
    examples: [
      'pyro workspace exec WORKSPACE_ID -- make test',
      "pyro workspace exec WORKSPACE_ID --cwd src --env CI=1 --timeout-seconds 0 -- sh -lc './build && ./check'",
      'pyro workspace exec WORKSPACE_ID -i -- tar -xz < files.tgz',
    ],
  },
  {
    path: ['workspace', 'logs'],
    operation: workspaces.logsWorkspace,
    positionals: workspace,
    examples: ['pyro workspace logs WORKSPACE_ID', 'pyro workspace logs WORKSPACE_ID --sequence 3 --offset 1048576'],
  },
  { path: ['workspace', 'stop'], operation: workspaces.stopWorkspace, positionals: workspace, examples: ['pyro workspace stop WORKSPACE_ID'] },
  { path: ['workspace', 'start'], operation: workspaces.startWorkspace, positionals: workspace, examples: ['pyro workspace start WORKSPACE_ID'] },
  { path: ['workspace', 'delete'], operation: workspaces.deleteWorkspace, positionals: workspace, examples: ['pyro workspace delete WORKSPACE_ID'] },
  { path: ['daemon', 'status'], operation: daemon.statusDaemon, examples: ['pyro daemon status'] },
  { path: ['daemon', 'stop'], operation: daemon.stopDaemon, examples: ['pyro daemon stop', 'pyro daemon stop --machines', 'pyro daemon stop --force'] },
  {
    path: ['daemon', 'logs'],
    operation: daemon.logsDaemon,
    flags: { follow: { short: '-f' } },
    exclusive: [['--json', '--follow']],
    examples: ['pyro daemon logs', 'pyro daemon logs -f'],
  },
  { path: ['daemon', 'serve'], operation: daemon.serveDaemon, examples: ['pyro daemon serve'], hidden: true },
  { path: ['doctor'], operation: doctor, examples: ['pyro doctor', 'pyro doctor --environment debian:12-build --json'] },
]

export const groups: GroupSpec[] = [
  {
    path: ['env'],
    summary: 'Environments: the Linux images that guests run',
    notes: 'The first pull of an environment builds it from the signed Debian archive, on this machine.',
  },
  {
    path: ['workspace'],
    summary: 'Workspaces: machines of your own that last until you delete them',
    notes: `A workspace that nobody uses is paused and goes on when it is used again.

A workspace's life:
  id=$(pyro workspace create debian:12-build --seed-path . --id-only)
  pyro workspace exec $id -- make test
  pyro workspace logs $id
  pyro workspace delete $id`,
  },
  {
    path: ['daemon'],
    summary: 'The process that looks after your machines; it starts and leaves by itself',
    notes: 'Commands work again after a stop: the next one that needs the daemon starts it.',
  },
]
