import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { projectEnvironment, root, run, tool } from './run.ts'
import { staleFiles } from './generate.ts'

const execute = promisify(execFile)
const native = join(root, 'native')

/** Every check resolves to what is wrong, in lines; nothing is wrong when there are none. */
const checks: Record<string, () => Promise<string[]>> = {
  types: () => program(tool('tsc'), []),
  oxlint: () => program(tool('oxlint'), ['--deny-warnings', 'src', 'test', 'bench', 'scripts']),
  'import rules': importRules,
  'unused code': () => program(tool('knip'), []),
  'go vet': () => program('go', ['vet', './...'], native),
  gofmt: async () => (await execute('gofmt', ['-l', 'cmd', 'internal'], { cwd: native })).stdout.split('\n').filter(Boolean),
  'generated code': staleFiles,
  'long files': longFiles,
}

async function program(path: string, args: string[], cwd = root): Promise<string[]> {
  const code = await run(path, args, { cwd })
  return code === 0 ? [] : [`ended with ${code}`]
}

/** dependency-cruiser passes when it reads nothing, so what it read is counted. */
async function importRules(): Promise<string[]> {
  const { stdout } = await execute(tool('depcruise'), ['--config', '.dependency-cruiser.mjs', '--output-type', 'json', 'src'], { cwd: root, env: projectEnvironment(), maxBuffer: 1 << 28 }).catch((failed: { stdout: string }) => failed) // its exit code counts the violations
  const { summary } = JSON.parse(stdout) as { summary: { totalCruised: number; violations: { from: string; to: string; rule: { name: string } }[] } }
  const sources = Number((await execute('git', ['ls-files', 'src/**/*.ts', 'src/*.ts'], { cwd: root })).stdout.split('\n').filter(Boolean).length)
  if (summary.totalCruised < sources) return [`read only ${summary.totalCruised} of ${sources} modules`]
  return summary.violations.map(({ from, to, rule }) => `${rule.name}: ${from} imports ${to}`)
}

const longest = 400

async function longFiles(): Promise<string[]> {
  const { stdout } = await execute('git', ['ls-files', '*.ts', '*.go', '*.mjs'], { cwd: root })
  const own = stdout.split('\n').filter((path) => path && existsSync(join(root, path)) && !/(^|\/)gen\//.test(path))
  return own.flatMap((path) => {
    const lines = readFileSync(join(root, path), 'utf8').split('\n').length
    return lines > longest ? [`${path} has ${lines} lines; ${longest} are the limit`] : []
  })
}

let failed = 0
for (const [name, check] of Object.entries(checks)) {
  const problems = await check()
  for (const problem of problems) console.error(`${name}: ${problem}`)
  console.log(`${problems.length === 0 ? 'ok  ' : 'FAIL'} ${name}`)
  if (problems.length > 0) failed += 1
}
process.exitCode = failed > 0 ? 1 : 0
