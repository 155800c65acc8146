import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { cliTable } from '../src/cli/table.ts'

const root = join(import.meta.dirname, '..')

/** The CLI's table is data: worked out from the contract here, so that a start need not load the schemas. */
const tableAsData: Plugin = {
  name: 'table-as-data',
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/cli\/table\.ts$/ }, () => ({
      contents: `const table = ${JSON.stringify(cliTable())}\nexport const cliTable = () => table`,
      loader: 'js',
    }))
  },
}

/** Bundles the CLI beside its place and renames it in, so that a start meanwhile finds the whole of one or the other. */
export async function bundle(): Promise<void> {
  const target = join(root, 'dist/cli')
  const partial = `${target}.${process.pid}`
  await mkdir(partial, { recursive: true })
  await build({
    entryPoints: [join(root, 'src/cli/start.ts')],
    outdir: partial,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    plugins: [tableAsData],
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
