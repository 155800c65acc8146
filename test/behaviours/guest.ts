import { randomUUID } from 'node:crypto'
import { exec, type ExecEnd, type ExecOptions } from '../../src/engine/machine/exec.ts'
import { type LaunchedMachine, launchMachine } from '../../src/engine/machine/launch.ts'
import { newMachineId } from '../../src/engine/machine/start.ts'
import { guestVariables, workspacePath } from '../../src/engine/machine/variables.ts'
import type { SeedSource } from '../../src/engine/seed/seed.ts'
import type { MachineShape } from '../../src/vmm/vmm.ts'
import { environment, type Home } from './home.ts'

export interface Executed extends ExecEnd {
  stdout: Buffer
  stderr: Buffer
}

type Options = Partial<Omit<ExecOptions, 'argv'>>

/** Runs a script in a machine and keeps all that it writes. */
export async function execute(machine: LaunchedMachine, script: string | string[], options: Options = {}): Promise<Executed> {
  const output = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] }
  const end = await machine.whileAlive(
    exec(machine.guest, {
      argv: typeof script === 'string' ? ['/bin/sh', '-c', script] : script,
      cwd: workspacePath,
      env: guestVariables,
      timeoutMs: 60_000,
      onOutput: (stream, data) => void output[stream].push(Uint8Array.from(data)),
      ...options,
    }),
  )
  return { ...end, stdout: Buffer.concat(output.stdout), stderr: Buffer.concat(output.stderr) }
}

/** What a script prints; the script has to succeed. */
export async function output(machine: LaunchedMachine, script: string | string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await execute(machine, script)
  if (exitCode !== 0) throw new Error(`${String(script)} ended with ${exitCode}: ${stderr.toString()}`)
  return stdout.toString()
}

/** A machine that lives as long as its home, unless it is ended before. */
export async function launch(home: Home, { seed, shape = { vcpuCount: 1, memMib: 1024 } }: { seed?: SeedSource; shape?: MachineShape } = {}): Promise<LaunchedMachine> {
  return home.machines.use(await launchMachine(home.engine, { id: newMachineId(), environment, shape, seed }))
}

/** A command line that no other process has: finds it, or its absence, in the guest. */
export function marker(): string {
  return `marker-${randomUUID()}`
}

/** Processes in the guest whose command line has a word; whoever looks is not counted. */
export async function guestProcesses(machine: LaunchedMachine, word: string): Promise<string[]> {
  const script = `for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null && echo; done`
  return (await output(machine, script)).split('\n').filter((line) => line.includes(word))
}
