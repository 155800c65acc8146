import { main } from './main.ts'

delete process.env['NODE_COMPILE_CACHE'] // ours, not for programs that we start
// Writes to pipes, files and terminals are done when they return, so nothing is lost by leaving at once.
process.exit(await main(process.argv.slice(2)))
