import { mkdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { answers } from '../src/cli/answers.ts'
import { cliTable } from '../src/cli/table.ts'
import { buildIdOfSources } from '../src/host/build.ts'

const root = join(import.meta.dirname, '..')

/** Functions that return plain data are called here, so that a start need not load the schemas, nor help the parser. */
const calledEarly: Record<string, () => unknown> = { cliTable, answers }

const resultsAsData: Plugin = {
  name: 'results-as-data',
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/cli\/(table|answers)\.ts$/ }, ({ path }) => {
      const name = basename(path) === 'table.ts' ? 'cliTable' : 'answers'
      return { contents: `const data = ${JSON.stringify(calledEarly[name]?.())}\nexport const ${name} = () => data`, loader: 'js' }
    })
  },
}

/** Bundles CLI and daemon beside their place and renames it in, so that a start meanwhile finds the whole of one or the other. */
export async function bundle(): Promise<void> {
  const target = join(root, 'dist/cli')
  const partial = `${target}.${process.pid}`
  await mkdir(partial, { recursive: true })
  await build({
    entryPoints: { start: join(root, 'src/cli/start.ts'), daemon: join(root, 'src/daemon/main.ts') },
    outdir: partial,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    plugins: [resultsAsData],
    define: { PYRO_BUILD: JSON.stringify(buildIdOfSources()) },
    // commander and its like are CommonJS
    banner: { js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);" },
    logLevel: 'warning',
  })
  await rm(`${target}.old`, { recursive: true, force: true })
  await rename(target, `${target}.old`).catch(() => {})
  await rename(partial, target)
  await rm(`${target}.old`, { recursive: true, force: true })
}

if (import.meta.main) await bundle()
