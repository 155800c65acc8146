import { spawn } from 'node:child_process'
import { delimiter, dirname, join } from 'node:path'

export const root = join(import.meta.dirname, '..')

interface RunOptions {
  cwd?: string
  env?: Record<string, string>
}

/** Runs a program of the project's with our own streams. Resolves to its exit code. */
export function run(program: string, args: string[], { cwd = root, env }: RunOptions = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, stdio: 'inherit', env: { ...projectEnvironment(), ...env } })
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
}

/** Programs written in JavaScript look for `node` on PATH: they get the project's. */
export function projectEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter) }
}

/** A program from node_modules. */
export function tool(name: string): string {
  return join(root, 'node_modules/.bin', name)
}
