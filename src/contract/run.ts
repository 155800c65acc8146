import { z } from 'zod'
import { allowHostCompat, capturedOutput, command, environmentName, executionMode, memMib, network, timeoutSeconds, ttlSeconds, vcpuCount, vmDelete } from './fields.ts'
import { operation } from './operation.ts'

/** What a result keeps of each stream; the CLI's human mode passes on every byte. */
export const capturedBytes = 1024 * 1024

export const run = operation({
  name: 'vm_run',
  summary: 'Run one command in a throwaway machine, forked from a running template',
  input: z.strictObject({
    environment: environmentName,
    command,
    vcpu_count: vcpuCount,
    mem_mib: memMib,
    timeout_seconds: timeoutSeconds,
    ttl_seconds: ttlSeconds,
    network,
    allow_host_compat: allowHostCompat,
    seed_path: z
      .string()
      .min(1, 'seed_path must not be empty')
      .optional()
      .describe('Directory, .tar, .tar.gz, .tgz or .tar.zst that /workspace starts with'),
  }),
  output: z.object({
    vm_id: z.string(),
    environment: z.string(),
    environment_version: z.string().nullable(),
    command: z.string(),
    ...capturedOutput,
    exit_code: z.int(),
    timed_out: z.boolean(),
    duration_ms: z.int(),
    execution_mode: executionMode,
    metadata: z.record(z.string(), z.string()),
    cleanup: vmDelete,
  }),
})
