import { main } from './main.ts'

delete process.env['NODE_COMPILE_CACHE'] // ours, not for programs that we start
process.exitCode = await main(process.argv.slice(2))
