/** What the contract says of one flag. */
export interface AgreedFlag {
  name: string
  type: 'boolean' | 'integer' | 'string'
  default?: string | number
  choices?: string[]
  repeatable?: true
  /** What stands for the value. */
  metavar?: string
}

export interface AgreedCommand {
  path: string
  positionals: { name: string; required: boolean; default?: string }[]
  /** Takes a command behind --. */
  rest?: true
  flags: AgreedFlag[]
  /** At most one of each; a usage fault otherwise. */
  exclusive?: string[][]
  /** At most one of each; a refused value otherwise. */
  exclusiveAtRun?: string[][]
}

/** The contract of the commands, as far as there are any yet. A switch is off, a value is none, unless a default is given. */
export const agreed: AgreedCommand[] = [
  {
    path: 'env list',
    positionals: [],
    flags: [{ name: '--json', type: 'boolean' }],
  },
  {
    path: 'env pull',
    positionals: [{ name: 'ENVIRONMENT', required: true }],
    flags: [{ name: '--json', type: 'boolean' }],
  },
  {
    path: 'env inspect',
    positionals: [{ name: 'ENVIRONMENT', required: true }],
    flags: [{ name: '--json', type: 'boolean' }],
  },
  {
    path: 'env prune',
    positionals: [],
    flags: [{ name: '--json', type: 'boolean' }],
  },
  {
    path: 'run',
    positionals: [{ name: 'ENVIRONMENT', required: true }],
    rest: true,
    flags: [
      { name: '--vcpu-count', type: 'integer', default: 1 },
      { name: '--mem-mib', type: 'integer', default: 1024 },
      { name: '--timeout-seconds', type: 'integer', default: 30 },
      { name: '--ttl-seconds', type: 'integer', default: 600 },
      { name: '--network', type: 'boolean' },
      { name: '--allow-host-compat', type: 'boolean' },
      { name: '--json', type: 'boolean' },
    ],
  },
  {
    path: 'workspace create',
    positionals: [{ name: 'ENVIRONMENT', required: true }],
    flags: [
      { name: '--vcpu-count', type: 'integer', default: 1 },
      { name: '--mem-mib', type: 'integer', default: 1024 },
      { name: '--ttl-seconds', type: 'integer', default: 600 },
      { name: '--network-policy', type: 'string', default: 'off', choices: ['off', 'egress', 'egress+published-ports'] },
      { name: '--allow-host-compat', type: 'boolean' },
      { name: '--seed-path', type: 'string' },
      { name: '--name', type: 'string' },
      { name: '--label', type: 'string', repeatable: true, metavar: 'KEY=VALUE' },
      { name: '--secret', type: 'string', repeatable: true, metavar: 'NAME=VALUE' },
      { name: '--secret-file', type: 'string', repeatable: true, metavar: 'NAME=PATH' },
      { name: '--json', type: 'boolean' },
      { name: '--id-only', type: 'boolean' },
    ],
    exclusive: [['--json', '--id-only']],
  },
  {
    path: 'workspace list',
    positionals: [],
    flags: [{ name: '--json', type: 'boolean' }],
  },
  {
    path: 'workspace update',
    positionals: [{ name: 'WORKSPACE_ID', required: true }],
    flags: [
      { name: '--name', type: 'string' },
      { name: '--clear-name', type: 'boolean' },
      { name: '--label', type: 'string', repeatable: true, metavar: 'KEY=VALUE' },
      { name: '--clear-label', type: 'string', repeatable: true, metavar: 'KEY' },
      { name: '--json', type: 'boolean' },
    ],
    exclusiveAtRun: [['--name', '--clear-name']],
  },
  {
    path: 'workspace status',
    positionals: [{ name: 'WORKSPACE_ID', required: true }],
    flags: [{ name: '--json', type: 'boolean' }],
  },
  {
    path: 'workspace logs',
    positionals: [{ name: 'WORKSPACE_ID', required: true }],
    flags: [{ name: '--json', type: 'boolean' }],
  },
  {
    path: 'workspace exec',
    positionals: [{ name: 'WORKSPACE_ID', required: true }],
    rest: true,
    flags: [
      { name: '--timeout-seconds', type: 'integer', default: 30 },
      { name: '--secret-env', type: 'string', repeatable: true, metavar: 'SECRET[=ENV_VAR]' },
      { name: '--json', type: 'boolean' },
    ],
  },
  {
    path: 'workspace stop',
    positionals: [{ name: 'WORKSPACE_ID', required: true }],
    flags: [{ name: '--json', type: 'boolean' }],
  },
  {
    path: 'workspace start',
    positionals: [{ name: 'WORKSPACE_ID', required: true }],
    flags: [{ name: '--json', type: 'boolean' }],
  },
  {
    path: 'workspace delete',
    positionals: [{ name: 'WORKSPACE_ID', required: true }],
    flags: [{ name: '--json', type: 'boolean' }],
  },
  {
    path: 'doctor',
    positionals: [],
    flags: [
      { name: '--platform', type: 'string', default: 'linux-x86_64' },
      { name: '--environment', type: 'string', default: 'debian:12' },
      { name: '--json', type: 'boolean' },
    ],
  },
]
