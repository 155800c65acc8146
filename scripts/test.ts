import { globSync } from 'node:fs'
import { join } from 'node:path'
import { root, run } from './run.ts'

/**
 * All tests, or those of the files named. Go's come first, then node:test's,
 * whose summary is the last thing that is printed. Files run two at a time:
 * most of their work is done by emulated machines.
 */
const named = process.argv.slice(2)
if (named.length === 0 && (await run('go', ['test', '-count=1', './...'], { cwd: join(root, 'native'), env: { CGO_ENABLED: '0' } })) !== 0) process.exit(1)
// What the tests share is made before they start: some of them look at a host on which it is there.
for (const args of [['env', 'pull', 'debian:12-base'], ['doctor', '--environment', 'debian:12-base']]) {
  if ((await run('bin/pyro', args)) !== 0) process.exit(1)
}
const files = named.length > 0 ? named : globSync('test/**/*.test.ts', { cwd: root }).sort()
process.exitCode = await run(process.execPath, ['--test', '--test-concurrency=2', '--test-timeout=300000', '--test-reporter=spec', ...files])
