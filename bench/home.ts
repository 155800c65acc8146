import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Caller } from '../src/contract/call.ts'
import { createClient } from '../src/daemon/client/client.ts'
import { stopDaemon } from '../src/daemon/client/control.ts'
import { type Paths, resolvePaths } from '../src/host/paths.ts'
import { environment } from './subject.ts'

/** A state directory for the rows, with a daemon of its own from the bundle. */
export interface Home extends AsyncDisposable {
  env: NodeJS.ProcessEnv
  paths: Paths
  client: Caller
  create(memMib?: number): Promise<string>
  exec(id: string, command: string): Promise<unknown>
}

export function temporaryHome(root: string, env: NodeJS.ProcessEnv = {}): Home {
  const directory = mkdtempSync(join(tmpdir(), 'pyro-bench-'))
  const own = { ...process.env, XDG_STATE_HOME: directory, XDG_RUNTIME_DIR: directory, ...env }
  const paths = resolvePaths(own)
  const program = [process.execPath, join(root, 'dist/cli/daemon.js')]
  const client = createClient(paths, { ...own, NODE_COMPILE_CACHE: join(root, 'dist/cache') }, { program })
  return {
    env: own,
    paths,
    client,
    async create(memMib = 1024) {
      return (await client.call('workspace_create', { environment, mem_mib: memMib })).workspace_id
    },
    exec: (id, command) => client.call('workspace_exec', { workspace_id: id, command }),
    async [Symbol.asyncDispose]() {
      const { workspaces } = await client.call('workspace_list', {})
      for (const { workspace_id } of workspaces) await client.call('workspace_delete', { workspace_id })
      await client[Symbol.asyncDispose]()
      await stopDaemon(paths, own, { machines: true, force: false })
      rmSync(directory, { recursive: true, force: true, maxRetries: 20 })
    },
  }
}
