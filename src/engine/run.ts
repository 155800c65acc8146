import { PyroError } from '../contract/errors.ts'
import { parseInput, type InputOf, type OutputOf } from '../contract/operation.ts'
import { capturedBytes, run } from '../contract/run.ts'
import type { CallOptions, Engine } from './engine.ts'
import { Capture, capturedFields } from './machine/capture.ts'
import { exec } from './machine/exec.ts'
import { launchMachine } from './machine/launch.ts'
import { removeLeftovers } from './machine/leftovers.ts'
import { newMachineId } from './machine/start.ts'
import { shellCommand, workspacePath } from './machine/variables.ts'
import { seedSource } from './seed/seed.ts'

interface RunOptions extends CallOptions {
  /** Every byte as it comes; awaited, so that a slow reader holds the command. */
  onOutput?: ((stream: 'stdout' | 'stderr', data: Uint8Array) => void | Promise<void>) | undefined
  onPhase?: ((phase: 'create' | 'start' | 'execute', vmId: string) => void) | undefined
  /** Called before the command runs without isolation, with the reason. */
  onHostCompat?: ((reason: string) => void) | undefined
}

/** Runs one command in a machine of its own. Whatever happens, nothing of the machine is left. */
export async function runInVm(engine: Engine, input: InputOf<typeof run>, { onOutput, onPhase, onHostCompat, progress, signal }: RunOptions = {}): Promise<OutputOf<typeof run>> {
  const options = parseInput(run, input)
  if (options.network) {
    throw new PyroError('network_unavailable', 'the guest has no network yet in this version', { hint: 'run it without --network' })
  }
  const seed = options.seed_path === undefined ? undefined : await seedSource(options.seed_path)
  const id = newMachineId()
  using life = lifetime(options.ttl_seconds, signal)
  const captures = { stdout: new Capture(capturedBytes), stderr: new Capture(capturedBytes) }
  const output = async (stream: 'stdout' | 'stderr', data: Uint8Array) => {
    captures[stream].add(data)
    await onOutput?.(stream, data)
  }
  onPhase?.('create', id)
  await using machine = await launchMachine(engine, {
    id,
    environment: options.environment,
    shape: { vcpuCount: options.vcpu_count, memMib: options.mem_mib },
    seed,
    signal: life.signal,
    progress,
    onStart: () => onPhase?.('start', id),
    allowHostCompat: options.allow_host_compat,
    onHostCompat,
  })
  onPhase?.('execute', id)
  const swept = removeLeftovers(engine.paths, new Set([id])).catch(() => {}) // the next run tries again
  const end = await machine.whileAlive(
    exec(machine.guest, {
      argv: shellCommand(options.command),
      cwd: workspacePath,
      env: machine.variables,
      timeoutMs: options.timeout_seconds * 1000,
      onOutput: output,
      signal: life.signal,
    }),
  )
  await swept
  if (end.timedOut) await output('stderr', Buffer.from(`command timed out after ${options.timeout_seconds}s\n`))
  return {
    vm_id: id,
    environment: options.environment,
    environment_version: machine.environment?.version ?? null,
    command: options.command,
    ...capturedFields(captures),
    exit_code: end.exitCode,
    timed_out: end.timedOut,
    duration_ms: Math.round(end.durationUs / 1000),
    execution_mode: machine.vmm.name === 'host' ? 'host_compat' : 'guest_vsock',
    metadata: { vmm: machine.vmm.name, ...(machine.environment && { environment_digest: machine.environment.digest }) },
    cleanup: { vm_id: id, deleted: true, reason: 'post_exec_cleanup' },
  }
}

/** Ends with the caller's patience or when the machine's time is over, whichever comes first. */
function lifetime(ttlSeconds: number, signal: AbortSignal | undefined): Disposable & { signal: AbortSignal } {
  const expiry = new AbortController()
  const timer = setTimeout(
    () => expiry.abort(new PyroError('expired', `the machine reached its time to live of ${ttlSeconds} s and was removed`, { hint: 'allow more with --ttl-seconds' })),
    ttlSeconds * 1000,
  )
  return {
    signal: signal ? AbortSignal.any([signal, expiry.signal]) : expiry.signal,
    [Symbol.dispose]: () => clearTimeout(timer),
  }
}
