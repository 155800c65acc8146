import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { pyro } from '../behaviours/command-line.ts'
import { environment, temporaryHome } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { assertRefused, type Refusal, runTrue } from '../behaviours/refusal.ts'

/** Cache and state are empty, so whatever a refused command line makes is seen. */
const home = temporaryHome()
const nowhere = { ...home, env: { ...home.env, XDG_CACHE_HOME: home.directory } }
const untouched = () => assert.deepEqual(readdirSync(home.directory), [])

const usage = (error: RegExp, hint = /--help shows what it takes$/): Refusal => ({ code: 'usage', error, hint })

for (const [title, args, refusal] of [
  ['an unknown flag', runTrue('--frobnicate'), usage(/unknown option '--frobnicate'/)],
  ['a missing environment', ['run', '--', 'true'], usage(/missing required argument 'ENVIRONMENT'/)],
  ['a size that is no number', runTrue('--mem-mib', 'lots'), usage(/--mem-mib.*'lots' is not an integer/)],
  ['a size that is a fraction', runTrue('--vcpu-count', '1.5'), usage(/--vcpu-count.*'1\.5' is not an integer/)],
  ['a size that is empty', runTrue('--mem-mib='), usage(/--mem-mib.*'' is not an integer/)],
  ['a time that is no number', runTrue('--timeout-seconds', '1s'), usage(/--timeout-seconds.*'1s' is not an integer/)],
  ['a flag without its value', ['run', environment, '--seed-path'], usage(/--seed-path.*argument missing/)],
  ['an unknown subcommand', ['env', 'fetch'], usage(/unknown command 'fetch'/, /list, pull, inspect, prune/)],
  ['a flag of another command', ['env', 'prune', '--mem-mib', '1'], usage(/unknown option '--mem-mib'/)],
  ['an argument too many', ['env', 'list', 'x'], usage(/too many arguments/)],
  ['a choice that is none', ['doctor', '--platform', 'windows'], usage(/--platform.*'windows'.*linux-x86_64/)],
] as const) {
  verifies(['errors.usage', 'errors.form'], `${title} is a usage fault`, async () => {
    await assertRefused(nowhere, [...args], refusal, { exitCode: 2 })
    const { stderr } = await pyro(nowhere, [...args])
    assert.match(stderr.toString(), /^Usage: pyro /m)
    untouched()
  })
}

for (const args of [[], ['env']]) {
  verifies('errors.usage', `'${['pyro', ...args].join(' ')}' alone is a usage fault that names the commands`, async () => {
    const { code, stdout, stderr } = await pyro(nowhere, args)
    assert.deepEqual([code, stdout.toString()], [2, ''])
    assert.match(stderr.toString(), /^\[error\] pyro.* needs a command\n\[hint\] choose one of: .*\n\nUsage: /)
    untouched()
  })
}

const refused = (error: RegExp): Refusal => ({ code: 'invalid_argument', error, hint: /--help/ })

for (const [title, args, refusal] of [
  ['no command', ['run', environment], refused(/a command is required after --/)],
  ['no command behind --', ['run', environment, '--'], refused(/a command is required after --/)],
  ['no CPU', runTrue('--vcpu-count', '0'), refused(/vcpu_count must be between 1 and 8/)],
  ['too many CPUs', runTrue('--vcpu-count', '9'), refused(/vcpu_count must be between 1 and 8/)],
  ['too little memory', runTrue('--mem-mib', '255'), refused(/mem_mib must be between 256 and 32768/)],
  ['more memory than a number holds', runTrue('--mem-mib', '9'.repeat(30)), refused(/mem_mib must be between 256 and 32768/)],
  ['a negative size', runTrue('--mem-mib=-1024'), refused(/mem_mib must be between 256 and 32768/)],
  ['a life too short', runTrue('--ttl-seconds', '59'), refused(/ttl_seconds must be between 60 and \d+/)],
  ['a negative time-out', runTrue('--timeout-seconds=-1'), refused(/timeout_seconds must be positive/)],
] as const) {
  verifies(['errors.values', 'errors.form'], `${title} is refused`, async () => {
    await assertRefused(nowhere, [...args], refusal)
    untouched()
  })
}

for (const args of [
  ['run', 'debian:99', '--', 'true'],
  ['env', 'pull', 'debian:99'],
  ['env', 'inspect', 'debian:99'],
  ['doctor', '--environment', 'debian:99'],
]) {
  verifies('errors.environment', `'${args.join(' ')}' is refused with the environments that there are`, async () => {
    const refusal = { code: 'unknown_environment', error: /unknown environment.*debian:99.*debian:12-base/, hint: /pyro env list/ }
    await assertRefused(nowhere, args, refusal)
    untouched()
  })
}

verifies('errors.values', 'an unknown PYRO_VMM is refused with those that there are', async () => {
  await assertRefused(home, runTrue(), { code: 'invalid_argument', error: /PYRO_VMM.*'xen'/, hint: /qemu-kvm, qemu-tcg/ }, { env: { PYRO_VMM: 'xen' } })
})

verifies(['cli.version', 'errors.usage'], 'version and help answer without touching anything', async () => {
  const version = await pyro(nowhere, ['--version'])
  assert.deepEqual([version.code, version.stdout.toString(), version.stderr.toString()], [0, 'pyro 5.0.0\n', ''])
  for (const words of [[], ['run'], ['env'], ['env', 'list'], ['env', 'pull'], ['env', 'inspect'], ['env', 'prune'], ['doctor']]) {
    for (const flag of ['-h', '--help']) {
      const { code, stdout, stderr } = await pyro(nowhere, [...words, flag])
      assert.deepEqual([code, stderr.toString()], [0, ''])
      assert.match(stdout.toString(), new RegExp(`^Usage: ${['pyro', ...words].join(' ')}\\b`))
      if (words.length > 0 && words[0] !== 'env') assert.match(stdout.toString(), /\nExamples?:\n {2}pyro /)
    }
  }
  untouched()
})
