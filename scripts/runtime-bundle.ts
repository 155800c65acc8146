import { PyroError } from '../src/contract/errors.ts'
import { ensureBundle } from '../src/engine/bundle/bundle.ts'
import { resolvePaths } from '../src/host/paths.ts'

/** Builds the runtime bundle when there is none for the current agent; `--refresh` looks for a newer kernel too. */
try {
  await ensureBundle(resolvePaths(), {
    refresh: process.argv.includes('--refresh'),
    progress: ({ phase, detail }) => console.log(`[setup] ${phase}: ${detail}`),
  })
} catch (thrown) {
  const { message, hint } = PyroError.from(thrown)
  console.error(`[error] ${message}`)
  if (hint) console.error(`[hint] ${hint}`)
  process.exitCode = 1
}
