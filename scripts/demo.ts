import { errorLines } from '../src/cli/render.ts'
import { PyroError } from '../src/contract/errors.ts'
import type { Engine } from '../src/engine/engine.ts'
import { pullEnvironment } from '../src/engine/environment/operations.ts'
import { exec } from '../src/engine/machine/exec.ts'
import { type LaunchedMachine, launchMachine, resolveMachine } from '../src/engine/machine/launch.ts'
import { newMachineId } from '../src/engine/machine/start.ts'
import { guestVariables, workspacePath } from '../src/engine/machine/variables.ts'
import { ensureSeed } from '../src/engine/seed/seed.ts'
import { resolvePaths } from '../src/host/paths.ts'
import { print, printGuestLine, Report } from './demo/report.ts'
import { projectSource } from './demo/source.ts'

/**
 * Runs a project's tests in a fork, breaks a line in another, and shows that the tests fail there and
 * still pass in the first. Ends with a table, and with exit code 1 when a result is another than that.
 */

const environment = 'debian:12-build'
const shape = { vcpuCount: 1, memMib: 1024 }

/** A project whose Makefile tests it: six runs on reference data, each compared byte by byte. */
const project = {
  name: 'bzip2',
  // An emulated gcc takes three times as long to optimize.
  build: ['make', 'bzip2', 'CFLAGS=-O0 -D_FILE_OFFSET_BITS=64'],
  /** Compiles those anew that the flaw would change: the Makefile knows nothing of headers. */
  rebuild: ['--what-if=bzlib.c', '--what-if=compress.c'],
  test: ['make', 'test'],
  /** The check sum of each block is no longer inverted at its end, as the file format has it. */
  flaw: { file: 'bzlib_private.h', replace: 's/crcVar = ~(crcVar);/crcVar = (crcVar);/' },
  /** Lines of its output that say what is being done. */
  telling: /^(gcc |\.\/bzip2 |cmp |make: |bzip2: |[<>] )/,
}

const commandTimeoutMs = 300_000

/** What happened otherwise than it should, in lines; nothing did when there are none. */
async function demonstrate(engine: Engine, report: Report, signal: AbortSignal): Promise<string[]> {
  await report.step(`environment ${environment}`, (_, progress) => pullEnvironment(engine, { environment }, { progress, signal }))
  const source = await report.step(`source of ${project.name}, from Debian`, (_, progress) => projectSource(engine.paths, project.name, { progress, signal }))
  const seed = { kind: 'archive' as const, path: source.archive }
  await report.step(`seed ${source.directory}`, (_, progress) => ensureSeed(engine.paths, seed, { progress, signal }))
  await report.step(`template ${shape.vcpuCount} vCPU, ${shape.memMib} MiB`, async (outcome, progress) => {
    const resolved = await resolveMachine(engine, { environment, shape, progress, signal })
    outcome.vmm = resolved.source.vmm.name
  })

  const surprises: string[] = []
  const cwd = `${workspacePath}/${source.directory}`
  const fork = (name: string) =>
    report.step(name, async (outcome, progress) => {
      const machine = await launchMachine(engine, { id: newMachineId(), environment, shape, seed, progress, signal })
      Object.assign(outcome, { vmm: machine.vmm.name, result: 'running' })
      return machine
    })
  const run = (what: string, machine: LaunchedMachine, argv: string[], meaning: Meaning) =>
    report.step(what, async (outcome) => {
      const { exitCode, lines } = await inGuest(machine, argv, cwd, signal)
      const result = meaning[exitCode] ?? meaning.other
      Object.assign(outcome, { vmm: machine.vmm.name, result })
      if (result === meaning.wanted) return
      surprises.push(`[error] ${what}: ${result}, exit code ${exitCode}; its last lines:`, ...lines.slice(-12).map((line) => `  ${line}`))
    })

  await using first = await fork('fork A')
  await run('fork A: build', first, project.build, built)
  await run('fork A: tests', first, project.test, pass)

  await using second = await fork('fork B')
  const { file, replace } = project.flaw
  await run('fork B: break one line', second, ['sh', '-c', `sed --in-place=.orig '${replace}' ${file} && diff ${file}.orig ${file}`], changed)
  await run('fork B: build', second, project.build, built)
  await run('fork B: tests', second, project.test, fail)

  await run('fork A: build again', first, [...project.build, ...project.rebuild], built)
  await run('fork A: tests again', first, project.test, pass)
  return surprises
}

/** What an exit code means, and which meaning the demonstration is about. */
interface Meaning {
  [exitCode: number]: string
  other: string
  wanted: string
}

const built: Meaning = { 0: 'built', other: 'DOES NOT BUILD', wanted: 'built' }
const pass: Meaning = { 0: 'pass', 124: 'TIMED OUT', other: 'FAIL', wanted: 'pass' }
const fail: Meaning = { 0: 'PASS', 124: 'TIMED OUT', other: 'fail, as meant', wanted: 'fail, as meant' }
/** As diff has it. */
const changed: Meaning = { 0: 'NOT CHANGED', 1: 'changed', other: 'NOT CHANGED', wanted: 'changed' }

/** Runs a command, showing its telling lines as they come. */
async function inGuest(machine: LaunchedMachine, argv: string[], cwd: string, signal: AbortSignal): Promise<{ exitCode: number; lines: string[] }> {
  const lines: string[] = []
  const rest = { stdout: '', stderr: '' }
  const take = (line: string) => {
    lines.push(line)
    if (project.telling.test(line)) printGuestLine(line)
  }
  const { exitCode } = await machine.whileAlive(
    exec(machine.guest, {
      argv,
      cwd,
      env: guestVariables,
      timeoutMs: commandTimeoutMs,
      onOutput: (stream, data) => {
        const whole = (rest[stream] + Buffer.from(data).toString()).split('\n')
        rest[stream] = whole.pop() ?? ''
        whole.forEach(take)
      },
      signal,
    }),
  )
  for (const line of [rest.stdout, rest.stderr]) if (line) take(line)
  return { exitCode, lines }
}

const abort = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => abort.abort(new PyroError('canceled', 'interrupted: no machine is left')))
process.stdout.on('error', (error) => abort.abort(error))
const report = new Report()
try {
  const surprises = await demonstrate({ paths: resolvePaths(), env: process.env }, report, abort.signal)
  report.table()
  for (const surprise of surprises) console.error(surprise)
  if (surprises.length > 0) process.exitCode = 1
  else print('', 'Two forks of one running machine: what broke B left A alone.')
} catch (thrown) {
  process.stderr.write(errorLines(PyroError.from(thrown)))
  process.exitCode = 1
}
