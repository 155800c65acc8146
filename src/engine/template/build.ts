import { randomBytes } from 'node:crypto'
import { chmod, mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { PyroError } from '../../contract/errors.ts'
import { connectGuest, type Guest, guestError } from '../../guest/client.ts'
import { whileAlive } from '../../vmm/ended.ts'
import { guestDevices, type Machine } from '../../vmm/vmm.ts'
import { fileLock } from '../../host/program.ts'
import type { Paths } from '../../host/paths.ts'
import { run } from '../process.ts'
import type { Progress } from '../../contract/progress.ts'
import { clockRate, readClock } from './clock.ts'
import { evictTemplates } from './evict.ts'
import { findTemplate, manifestOf, type Template, type TemplateSource, templateAt, templateKey } from './manifest.ts'

/** Cold boot under emulation on a busy host takes a tenth of this. */
const bootTimeoutMs = 60_000
/** A few processes and mounts take seconds, also under emulation. */
const prepareTimeoutMs = 120_000
const clockTries = 3
/** For how long the guest is left alone before it is suspended, so that forks do not resume amid unfinished work. */
const settleMs = 150

interface BuildOptions {
  progress?: Progress | undefined
  signal?: AbortSignal | undefined
}

/** The template for `source`, built when it is not there or cannot be used. One process builds; others wait for it. */
export async function ensureTemplate(paths: Paths, source: TemplateSource, options: BuildOptions = {}): Promise<Template> {
  const found = findTemplate(paths, source)
  if ('template' in found) return found.template
  await mkdir(paths.templates, { recursive: true, mode: 0o700 })
  await using _lock = await fileLock(paths, join(paths.templates, `.${templateKey(source)}.lock`), {
    signal: options.signal,
    onWait: () => options.progress?.({ phase: 'template', detail: 'waiting for another pyro that builds it' }),
  })
  const again = findTemplate(paths, source)
  if ('template' in again) return again.template
  const template = await buildTemplate(paths, source, options)
  await evictTemplates(paths, template.key)
  return template
}

async function buildTemplate(paths: Paths, source: TemplateSource, { progress, signal }: BuildOptions): Promise<Template> {
  const key = templateKey(source)
  const partial = join(paths.templates, `.partial-${key}-${randomBytes(4).toString('hex')}`)
  progress?.({ phase: 'template', detail: `booting ${source.environment.name} on ${source.vmm.name}, once` })
  await mkdir(partial, { mode: 0o700 })
  const held = await fileLock(paths, join(partial, 'lock'), { signal })
  try {
    const template = await bootTemplate(source, templateAt(partial, key, source.kernel.tscKhz), signal)
    for (const path of [template.memory, template.state, template.disk]) {
      // QEMU before 8.2 opens the memory for writing even to map it privately.
      await chmod(path, path === template.memory ? 0o600 : 0o400)
      await using file = await open(path)
      await file.sync()
    }
    await writeFile(join(partial, 'manifest.json'), manifestOf(source, template))
    const directory = join(paths.templates, key)
    await rm(directory, { recursive: true, force: true }) // one that was damaged; a machine that still uses it keeps its files open
    await rename(partial, directory)
    return templateAt(directory, key, template.tscKhz)
  } catch (error) {
    await rm(partial, { recursive: true, force: true })
    throw error
  } finally {
    await held[Symbol.asyncDispose]()
  }
}

/** Boots, compares clocks, prepares and suspends; again with a corrected rate when the guest's clock ran wrong. */
async function bootTemplate(source: TemplateSource, template: Template, signal?: AbortSignal): Promise<Template> {
  for (let tries = 0; tries < clockTries; tries++) {
    await rm(template.disk, { force: true })
    await copySparse(source.blankDisk, template.disk)
    await using machine = await source.vmm.boot({
      id: `template-${randomBytes(6).toString('hex')}`,
      shape: source.shape,
      kernel: { ...source.kernel, tscKhz: template.tscKhz },
      drives: { environment: source.environment.rootfsImage, disk: template.disk },
      into: template,
      signal,
    })
    const rate = await whileAlive(machine, prepareGuest(machine, signal))
    if (rate === 1) {
      await delay(settleMs, undefined, signal ? { signal } : {})
      await machine.suspend()
      return template
    }
    template = { ...template, tscKhz: Math.round(template.tscKhz * rate) }
  }
  throw new PyroError('guest_unavailable', `the guest's clock runs wrong, also after ${clockTries - 1} corrections`, { hint: '`pyro doctor` says what works on this host' })
}

async function prepareGuest(machine: Machine, signal?: AbortSignal): Promise<number> {
  using guest = await connectGuest(await machine.dialControl(), { timeoutMs: bootTimeoutMs, signal })
  try {
    const before = await readClock(guest)
    await prepare(guest)
    return await clockRate(guest, before)
  } catch (error) {
    throw guestError(error, 'preparing a template')
  }
}

async function prepare(guest: Guest): Promise<void> {
  await guest.agent.prepare(
    {
      environmentDevice: guestDevices.environment,
      diskDevice: guestDevices.disk,
      warmUp: [['/bin/true'], ['/bin/sh', '-lc', ':'], ['/bin/cat', '/dev/null'], ['/bin/ls', '/']].map((argv) => ({ argv })),
    },
    { timeoutMs: prepareTimeoutMs },
  )
}

/** The blank disk is 64 GiB of hole with a few blocks in it, which Node's copyFile would write out. */
async function copySparse(from: string, to: string): Promise<void> {
  await run({ program: 'cp', args: ['--reflink=auto', '--sparse=always', from, to] })
}
