import { answers } from './answers.ts'

delete process.env['NODE_COMPILE_CACHE'] // ours, not for programs that we start
const argv = process.argv.slice(2)
const answer = answers()[argv.join(' ')]
if (answer !== undefined) process.stdout.write(answer)
// An answer fits into any pipe or socket, and main waits for what it wrote, so nothing is lost by leaving at once.
process.exit(answer === undefined ? await (await import('./main.ts')).main(argv) : 0)
