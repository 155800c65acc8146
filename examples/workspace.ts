import { Pyro, PyroError } from '../src/index.ts'

/**
 * A project in a workspace of its own: its files go in, a command runs, its output comes as it is written.
 *
 *   node examples/workspace.ts DIRECTORY COMMAND...
 */

const [directory = '.', ...words] = process.argv.slice(2)
const abort = new AbortController()
process.once('SIGINT', () => abort.abort())

await using pyro = new Pyro()
try {
  const { workspace_id: id } = await pyro.createWorkspace({ environment: 'debian:12-base', seedPath: directory, labels: { made: 'example' } }, { signal: abort.signal })
  try {
    const result = await pyro.execWorkspace(
      id,
      { command: words.join(' ') || 'ls -la', timeoutSeconds: 600, env: { CI: '1' } },
      { signal: abort.signal, onOutput: (stream, data) => void process[stream].write(data) },
    )
    console.error(`exit code ${result.exit_code} after ${result.duration_ms} ms`)
    process.exitCode = result.exit_code
  } finally {
    await pyro.deleteWorkspace(id)
  }
} catch (error) {
  if (!(error instanceof PyroError)) throw error
  console.error(`${error.message} (${error.code})\n${error.hint}`)
  process.exitCode = 1
}
