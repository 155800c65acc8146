import { appendFileSync, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Call } from '../../src/contract/call.ts'
import { type ErrorCode, PyroError } from '../../src/contract/errors.ts'
import { operations } from '../../src/contract/operations.ts'
import type { Backend } from '../../src/daemon/server/backend.ts'
import { runDaemon } from '../../src/daemon/server/run.ts'
import type { Engine } from '../../src/engine/engine.ts'
import type { Orchestrator } from '../../src/engine/orchestrator/orchestrator.ts'
import { ownState } from '../../src/store/lock.ts'

/**
 * The daemon with operations that need no machine. `workspace_exec` takes one of `commands`; what the daemon does it notes in
 * `<state directory>/journal`, a line each, with its process id.
 */

const { STAND_IN_BUILD: build, STAND_IN_FAILURE: failure, STAND_IN_BUSY: busy } = process.env
const journal = join(process.env['PYRO_BASE_DIR'] ?? '', 'journal')
const note = (line: string) => appendFileSync(journal, `${process.pid} ${line}\n`)

type Command = (call: Call, argument: string, from: number) => Promise<string>

const commands: Record<string, Command> = {
  /** Reads what is appended to a file, until a line `end`. */
  async tail({ onOutput, signal }, path, from) {
    let at = from
    for (;;) {
      const grown = appended(path, signal)
      const data = readFileSync(path).subarray(at)
      if (data.length > 0) await onOutput?.('stdout', data)
      at += data.length
      if (/^end$/m.test(readFileSync(path, 'utf8'))) return ''
      await grown
    }
  },
  async flood({ onOutput, signal }) {
    const data = Buffer.alloc(64 * 1024, 'x')
    for (let sent = 0; ; sent += data.length) {
      signal?.throwIfAborted()
      if (sent % (16 * 1024 ** 2) === 0) note(`flood ${sent} ${process.memoryUsage.rss()}`)
      await onOutput?.('stdout', data)
    }
  },
  async echo({ onOutput, stdin }) {
    for await (const data of stdin ?? []) await onOutput?.('stdout', data)
    return ''
  },
  async wait({ signal }) {
    note('waiting')
    await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
    return ''
  },
  async variable(_, name) {
    return process.env[name] ?? ''
  },
  async spin() {
    for (;;);
  },
}

function appended(path: string, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const watcher = watch(path, () => {
      watcher.close()
      resolve()
    })
    signal?.addEventListener('abort', () => {
      watcher.close()
      reject(signal.reason)
    })
  })
}

async function carryOut(name: string, orchestrator: Orchestrator, input: Record<string, unknown>, call: Call): Promise<unknown> {
  if (name === 'workspace_list') return { count: process.pid, workspaces: [] }
  if (name === 'workspace_status') return { pid: process.pid, vmm: orchestrator.env['PYRO_VMM'] ?? null, input }
  if (name === 'workspace_update') throw new PyroError('not_found', `no workspace ${String(input['workspace_id'])}`, { hint: 'look', details: { a: 1 } })
  if (name === 'workspace_start') throw new TypeError(`a fault with ${String(input['workspace_id'])}`)
  if (name === 'workspace_stop') return commands['wait']?.(call, '', 0)
  if (name === 'vm_create') {
    call.progress?.({ phase: 'seed', fraction: 0.5 })
    await delay(Number(input['mem_mib'] ?? 0))
    return { vm_id: 'made' }
  }
  const line = name === 'workspace_follow' ? readFileSync(join(orchestrator.paths.state, 'command'), 'utf8') : String(input['command'])
  if (name === 'workspace_exec') appendFileSync(join(orchestrator.paths.state, 'command'), line)
  const [word = '', argument = ''] = line.split(' ')
  call.onStarted?.({ sequence: 1, cwd: '/workspace' })
  note('started')
  return { sequence: 1, stdout: await commands[word]?.(call, argument, Number(input['stdout_offset'] ?? 0)), input }
}

const handler = (name: string) => async () => async (orchestrator: Orchestrator, input: unknown, call: Call) => {
  note(`begun ${name}`)
  try {
    return await carryOut(name, orchestrator, input as Record<string, unknown>, call)
  } finally {
    note(`ended ${name}${call.signal?.aborted ? ' aborted' : ''}`)
  }
}

async function open(engine: Engine): Promise<Orchestrator> {
  if (failure) throw new PyroError(failure as ErrorCode, 'it does not open', { hint: 'open it' })
  const owned = ownState(engine.paths)
  note('opened')
  const opened: Partial<Orchestrator> = {
    ...engine,
    idleSince: () => (busy ? undefined : 0),
    status: () => ({ workspaces: 1, machines: { running: 2, paused: 3, warm: 4 }, calls: 0 }),
    stopMachines: async () => note('machines stopped'),
    async [Symbol.asyncDispose]() {
      note('let go')
      owned[Symbol.dispose]()
    },
  }
  return opened as Orchestrator
}

await runDaemon(process.env, {
  backend: async () => ({ handlers: Object.fromEntries(Object.keys(operations).map((name) => [name, handler(name)])) as unknown as Backend['handlers'], open }),
  ...(build ? { build } : {}),
})
