import { resolvePaths } from '../../src/host/paths.ts'
import { until } from '../behaviours/home.ts'
import { attachTo, forkDetached, output } from './detached.ts'

/** A process that owns a detached machine until it is killed: `owner.ts ID`. */
const home = { directory: '', env: process.env, engine: { paths: resolvePaths(), env: process.env }, machines: new AsyncDisposableStack() }
const { machine } = await forkDetached(home, {}, process.argv[2])
const guest = await attachTo(machine)
void output(machine, guest, 'echo $$ >pid; echo by the owner >made; exec sleep 1000')
await until('the command', () => output(machine, guest, 'cat made').catch(() => ''))
console.log('running')
process.stdin.resume()
