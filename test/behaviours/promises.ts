import { test, type TestContext, type TestOptions } from 'node:test'
import { chaosPromises } from './chaos.ts'
import { cliWorkspacePromises } from './cli-workspace.ts'
import { confinementPromises } from './confinement.ts'
import { daemonPromises } from './daemon.ts'
import { guestAgentPromises } from './guest-agent.ts'
import { storePromises } from './store.ts'
import { vmmPromises } from './vmm.ts'
import { workspacePromises } from './workspaces.ts'

/** What pyro promises, each with at least one test that verifies it. */
export const promises = {
  ...chaosPromises,
  ...cliWorkspacePromises,
  ...confinementPromises,
  ...daemonPromises,
  ...guestAgentPromises,
  ...storePromises,
  ...vmmPromises,
  ...workspacePromises,
  'run.exit-code': "pyro ends with the guest command's exit code",
  'run.signal-code': 'a command that a signal ended gives 128 and the number of the signal',
  'run.timeout-is-result': 'a command whose time is over is a result: exit code 124, timed_out and all output so far',
  'run.timeout-kills-all': 'a command whose time is over leaves no process, however far removed',
  'run.at-most-once': 'a command runs at most once, whatever it prints',
  'run.any-bytes': 'every byte that a command writes arrives, unchanged and in order',
  'run.streams-apart': 'stdout and stderr of the command are stdout and stderr of pyro',
  'run.flat-memory': 'the memory of pyro does not grow with the size of the output',
  'run.endless-output': 'a reader that goes away ends an endless command, and nothing is left',
  'run.background-children': 'a run ends with its command, whatever children still hold its output',
  'run.capped-result': 'a result holds at most 1 MiB of each stream and says how much there was',
  'run.json-shape': '--json prints one document, sorted, that fits the contract',
  'run.workspace': 'a command starts in /workspace, as root, with a plain environment and no stdin',
  'run.kernel': 'a guest runs a kernel of its own',
  'exec.concurrent': 'commands in one machine run at the same time',
  'exec.once-per-id': 'an exec id that the agent has seen is refused',
  'exec.cancel-kills-all': 'a cancelled exec leaves no process in the guest',
  'exec.back-pressure': 'a slow reader holds the command instead of filling memory',
  'cli.flags-anywhere': 'flags count before, between and after the positionals, up to the first --',
  'cli.words-survive': 'words behind -- reach the command one by one, whatever is in them',
  'cli.version': 'pyro --version and --help answer with exit code 0',
  'fork.randomness': 'two forks of one template have different random numbers',
  'fork.identity': 'two forks differ in host name and machine id',
  'fork.clock-at-start': "a fork's clock is the host's from its first command on",
  'fork.clock-rate': "a fork's clock keeps the host's rate",
  'fork.no-network': 'a guest has no network interface but lo',
  'fork.no-host': 'a guest sees no process and no file of the host',
  'fork.shape': 'a machine has the CPUs and the memory that were asked for',
  'fork.independent': 'what one fork writes no other fork sees',
  'seed.exact': 'a seed arrives with its modes, links, hard links, times and bytes',
  'seed.archive': 'an archive seeds like the directory it was made from',
  'seed.skipped': 'sockets and FIFOs in a seed are skipped and reported',
  'seed.shared': 'a seed is packed once per content, and again when the content changed',
  'seed.private': 'a machine changes its own copy of the seed, never the source',
  'life.interrupt': 'an interrupt ends the run with 128 and the signal, and leaves nothing',
  'life.killed': 'a killed pyro leaves no VMM, no lock and no directory',
  'life.vmm-death': 'a VMM that dies is noticed at once and its last words are told',
  'life.monitor-death': 'when the monitor of a VMM is killed the VMM ends, and the next run removes what is left',
  'life.expiry': 'a machine ends when its time to live is over',
  'life.no-leftovers': 'a run that failed on the way leaves nothing behind',
  'private.directories': "state, cache and sockets are in the user's own directories, mode 0700",
  'errors.form': 'an error is one [error] line and a [hint], with --json an object with its code',
  'errors.usage': 'a command line that cannot be parsed gives exit code 2 and the usage',
  'errors.values': 'a refused value names the field and its limits, and changes nothing',
  'errors.environment': 'an unknown environment is refused with the known ones',
  'errors.seed': 'a seed that is missing, unreadable or of the wrong kind is refused, and changes nothing',
  'errors.vmm-missing': 'without a VMM pyro says which program to install',
  'errors.bundle-damaged': 'a bundle that does not match its checksums is refused before it is used',
  'errors.template-damaged': 'a damaged template is never used: it is built anew',
  'errors.not-writable': 'a directory that cannot be written is named',
  'errors.path-too-long': 'a socket path that the kernel would refuse is refused by name',
  'errors.no-space': 'a full disk is told as such',
  'errors.stdout-closed': 'a closed stdout ends pyro quietly',
  'doctor.boots': 'doctor says PASS only after a guest has booted',
  'env.digest': 'an environment is verified against its digest, which is shown',
  'env.whole-or-nothing': 'a pull installs the whole environment or nothing',
  'host.opt-in': 'no command runs on the host unless that was allowed and no guest boots, and then it is said',
  'host.workspace': 'on the host a command starts in the workspace directory, with the seed in it and a plain environment',
  'host.ends-all': 'what ran on the host ends with its machine, however pyro ends, and leaves nothing',
  'link.fresh-session': 'a session begins behind whatever bytes an earlier one left on the channel',
  'link.bounded': 'what a guest sends is bounded, and garbage is an error, not a hang',
} as const

export type PromiseId = keyof typeof promises

type Body = (t: TestContext) => void | Promise<void>

/** A test that verifies promises. Its ids are literals: `promises.test.ts` reads them from the source. */
export function verifies(ids: PromiseId | PromiseId[], title: string, ...rest: [Body] | [Pick<TestOptions, 'skip' | 'timeout' | 'todo'>, Body]): void {
  const [options, body] = rest.length === 1 ? [{}, rest[0]] : rest
  for (const id of [ids].flat()) if (!(id in promises)) throw new Error(`${title}: there is no promise '${id}'`)
  void test(title, options, body)
}

/** The ids that test sources name in calls of `verifies`. */
export function verifiedIds(source: string): string[] {
  return [...source.matchAll(/\bverifies\(\s*(\[[^\]]*\]|'[^']*')/g)].flatMap(([, ids = '']) => [...ids.matchAll(/'([^']*)'/g)].map(([, id = '']) => id))
}
