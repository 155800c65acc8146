import { randomUUID } from 'node:crypto'
import type { Machine } from '../../vmm/vmm.ts'
import { now } from '../clock.ts'
import type { ResolvedMachine } from '../machine/launch.ts'
import { exec } from '../machine/exec.ts'
import { reach } from '../machine/link.ts'
import { fork, newMachineId } from '../machine/start.ts'
import { guestVariables } from '../machine/variables.ts'
import { makeSandboxDirectory, pin, removeSandboxDirectory, sandboxFiles } from '../sandbox/directory.ts'
import { newSandboxId } from '../sandbox/naming.ts'
import { lastingOf } from '../sandbox/start.ts'
import type { Orchestrator, WarmFork, WarmForks } from './orchestrator.ts'
import type { Place } from './room.ts'

interface Waiting {
  templateKey: string
  fork: WarmFork
  usedAt: number
}

/** So many templates have a fork waiting at the most. */
const mostWaiting = 3
/** A template that was not used for so long needs none. */
const patienceMs = 10 * 60_000
/** A machine without an owner ends itself soon: it is nobody's. */
const leaseSeconds = 60

/** Forks made ahead, one for each recently used template. `PYRO_WARM_FORKS=0` turns them off. */
export class TemplateForks implements WarmForks {
  readonly #waiting: Waiting[] = []
  readonly #making = new Map<string, Promise<void>>()
  readonly #off: boolean

  constructor(env: NodeJS.ProcessEnv) {
    this.#off = env['PYRO_WARM_FORKS'] === '0'
  }

  get count(): number {
    return this.#waiting.length
  }

  /** The fork that waits for this template, now the caller's. */
  take(templateKey: string): WarmFork | undefined {
    const at = this.#waiting.findIndex((waiting) => waiting.templateKey === templateKey)
    return at < 0 ? undefined : this.#waiting.splice(at, 1)[0]?.fork
  }

  /** Makes one for a template that was just used, behind the caller's back. A failure only means that there is none. */
  prepare(orchestrator: Orchestrator, resolved: ResolvedMachine): void {
    const { key } = resolved.template
    if (this.#off || !resolved.source.vmm.exchangesDrives || this.#making.has(key) || orchestrator.leaving.aborted) return
    if (this.#waiting.some(({ templateKey }) => templateKey === key)) return
    const making = this.#make(orchestrator, resolved)
      .catch(() => {})
      .finally(() => this.#making.delete(key))
    this.#making.set(key, making)
  }

  /** Ends the one whose template was used least recently; false when there is none. */
  async giveUpOne(): Promise<boolean> {
    const oldest = this.#waiting.sort((a, b) => a.usedAt - b.usedAt).shift()
    if (oldest) await drop(oldest.fork)
    return oldest !== undefined
  }

  async giveUpAll(): Promise<void> {
    await Promise.all(this.#making.values())
    while (await this.giveUpOne()) continue
  }

  /** Ends those that nobody has needed for long. */
  async giveUpStale(): Promise<void> {
    while (this.#waiting.some(({ usedAt }) => performance.now() - usedAt > patienceMs)) await this.giveUpOne()
  }

  async #make(orchestrator: Orchestrator, resolved: ResolvedMachine): Promise<void> {
    if (this.#waiting.length >= mostWaiting) await this.giveUpOne()
    const { memMib } = resolved.source.shape
    if (!orchestrator.room.fits(memMib)) return
    const place = orchestrator.room.take(memMib)
    try {
      const made = await warmFork(orchestrator, resolved, place)
      this.#waiting.push({ templateKey: resolved.template.key, fork: made, usedAt: performance.now() })
      void made.machine.ended.then(() => this.#forget(made))
      if (orchestrator.leaving.aborted) await this.giveUpAll()
    } catch (error) {
      place[Symbol.dispose]()
      throw error
    }
  }

  #forget(gone: WarmFork): void {
    const at = this.#waiting.findIndex((waiting) => waiting.fork === gone)
    if (at >= 0) this.#waiting.splice(at, 1)
  }
}

async function warmFork(orchestrator: Orchestrator, resolved: ResolvedMachine, place: Place): Promise<WarmFork> {
  const { paths, store } = orchestrator
  const sandboxId = newSandboxId()
  const id = newMachineId()
  const files = sandboxFiles(paths, sandboxId)
  store.insertMachine({ id, sandboxId: null, kind: 'warm', vmm: resolved.source.vmm.name, createdAt: now(), details: { sandboxId } })
  let machine: Machine | undefined
  const undo = async () => {
    await machine?.[Symbol.asyncDispose]()
    await removeSandboxDirectory(files)
    store.deleteMachine(id)
  }
  try {
    await makeSandboxDirectory(files)
    const rootfs = await pin(resolved.environment.rootfsImage, files.environment)
    machine = await fork({ id, ...resolved, rootfs, lasting: { ...lastingOf({ id: sandboxId, ttlSeconds: 0 }, files, true), leaseSeconds } })
    const guest = await reach(machine)
    // The first process of a fork takes ten times as long as the next.
    await exec(guest, { execId: randomUUID(), argv: ['/bin/sh', '-lc', ':'], cwd: '/', env: guestVariables, timeoutMs: 10_000, onOutput: () => {} })
    const clearUp = async () => {
      place[Symbol.dispose]()
      if (!store.sandbox(sandboxId)) await undo()
    }
    const over = machine.ended.then(clearUp).catch(() => {}) // the next owner removes what is left
    return { sandboxId, vmm: resolved.source.vmm.name, machine, guest, place, over }
  } catch (error) {
    await undo()
    throw error
  }
}

async function drop({ machine, guest, over }: WarmFork): Promise<void> {
  guest[Symbol.dispose]()
  await machine[Symbol.asyncDispose]()
  await over
}
