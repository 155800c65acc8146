import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from '../../src/daemon/client/client.ts'
import { stopDaemon } from '../../src/daemon/client/control.ts'
import { daemonPid } from '../../src/daemon/client/diagnose.ts'
import { commandLine, type Home, processesUsing, temporaryHome, until } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { chaosClient } from './chaos/clients.ts'
import { inspect } from './chaos/inspect.ts'
import { Ledger } from './chaos/ledger.ts'
import { type Random, randomFrom } from './chaos/random.ts'
import { homeOnSmallDisk, noSmallDisk, type SmallDisk } from './chaos/small-disk.ts'

/** `PYRO_TEST_OPERATIONS=500` for all of it, `PYRO_TEST_SEED` for the same choices again. */
const operations = Number(process.env['PYRO_TEST_OPERATIONS'] ?? 60)
const seed = Number(process.env['PYRO_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 32))
const clients = 4
const operationsARound = 12
const env = { PYRO_MAX_MACHINES: '4' }

/** What happens in the midst of a round. */
const disasters = { daemon: 3, vmm: 2, monitor: 1, full: 2, all: 2 }
type Disaster = keyof typeof disasters

interface Scene {
  home: Home
  disk: SmallDisk | undefined
  ledger: Ledger
  random: Random
}

verifies(['chaos.kept', 'chaos.whole', 'chaos.orphans'], `${operations} operations of ${clients} clients, seed ${seed}`, { timeout: 60_000 + operations * 4000 }, async (t) => {
  const small = noSmallDisk ? undefined : homeOnSmallDisk(512, env)
  const home = small ?? temporaryHome(env)
  const scene: Scene = { home, disk: small?.disk, ledger: new Ledger(), random: randomFrom(seed) }
  home.machines.defer(async () => {
    scene.disk?.free()
    await until('every machine to stop', () => stopDaemon(home.engine.paths, home.env, { machines: true, force: true }).catch(() => false)) // one may wait for room still
  })
  const callers = Array.from({ length: clients }, () => home.machines.use(createClient(home.engine.paths, home.env)))
  const working = callers.map((caller, i) => chaosClient({ name: `c${i}`, caller, ledger: scene.ledger, random: randomFrom(seed + i + 1) }))
  const done: string[] = []
  try {
    for (let left = operations; left > 0; left -= operationsARound) {
      const kind = scene.random.weighted(scene.disk ? disasters : { ...disasters, full: 0, all: 0 })
      done.push(kind)
      scene.ledger.begin({ calm: kind === 'daemon' })
      let open = Math.min(left, operationsARound)
      const work = working.map(async ({ act }) => {
        while (open-- > 0) await act()
      })
      await Promise.all([strike(scene, kind), ...work])
      assert.deepEqual(scene.ledger.faults, [])
      await endDaemon(scene)
      await inspect(home, scene.ledger)
    }
  } finally {
    t.diagnostic(`seed ${seed}: ${done.join(' ')}`)
  }
})

/** Brings a disaster over everything at a random moment, and takes away what others cannot. */
async function strike({ home, disk, ledger, random }: Scene, kind: Disaster): Promise<void> {
  const moment = () => delay(random.below(1500))
  await moment()
  if (kind === 'full' || kind === 'all') {
    ledger.lose()
    disk?.fill()
    await moment()
  }
  if (kind === 'vmm' || kind === 'monitor' || kind === 'all') {
    ledger.lose()
    const name = kind === 'monitor' ? 'pyro-host' : 'qemu-system'
    const found = processesUsing(home.directory).filter((pid) => commandLine(pid).includes(name))
    for (const pid of found.filter(() => random.below(2) === 0)) kill(pid)
  }
  if (kind === 'daemon' || kind === 'all') {
    for (let times = 1 + random.below(2); times > 0; times -= 1) {
      const pid = await daemonPid(home.engine.paths)
      if (pid !== undefined) kill(pid)
      await moment()
    }
  }
  if (kind === 'full' || kind === 'all') {
    ledger.lose()
    disk?.free()
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it has ended meanwhile
  }
}

/** By force or by request: the next owner finds everything either way. */
async function endDaemon({ home, random }: Scene): Promise<void> {
  await stopDaemon(home.engine.paths, home.env, { machines: false, force: random.below(2) === 0 })
}
