import { z } from 'zod'

/** A whole number within limits; the message names the field and both limits. */
export function between(name: string, low: number, high: number) {
  const message = `${name} must be between ${low} and ${high}`
  return z.int(message).min(low, message).max(high, message)
}

export const environmentName = z.string().min(1, 'environment must not be empty').describe('Environment to run in, as `pyro env list` shows')

const guestCommand = 'a command is required after --'
export const command = z.string(guestCommand).refine((text) => text.trim() !== '', guestCommand).describe('Command line for /bin/sh in the guest')

export const vcpuCount = between('vcpu_count', 1, 8).default(1).describe('Virtual CPUs')
export const memMib = between('mem_mib', 256, 32768).default(1024).describe('Guest memory in MiB')

/** 30 days: a machine that is meant to last belongs to a workspace. */
const longestTtl = 30 * 24 * 3600
export const ttlSeconds = between('ttl_seconds', 60, longestTtl).default(600).describe('Seconds after which the machine is removed')

/** 0 is none. The contract's word for a negative one is "positive". */
export const timeoutSeconds = z
  .int('timeout_seconds must be positive, or 0 for none')
  .min(0, 'timeout_seconds must be positive, or 0 for none')
  .max(longestTtl, `timeout_seconds must be at most ${longestTtl}`)
  .default(30)
  .describe('Seconds until the command is killed; 0 for no limit')

export const network = z.boolean().default(false).describe('Let the guest reach the network')
export const allowHostCompat = z.boolean().default(false).describe('Run on the host, without isolation, when no guest can boot here')

export const executionMode = z.enum(['guest_vsock', 'guest_boot_only', 'host_compat', 'pending', 'unknown'])

export const vmDelete = z.object({
  vm_id: z.string(),
  deleted: z.literal(true),
  reason: z.enum(['explicit_delete', 'post_exec_cleanup', 'run_vm_error_cleanup']),
})

/** What results hold of a command's output. */
export const capturedOutput = {
  stdout: z.string(),
  stderr: z.string(),
  /** Bytes that the command wrote; more than `stdout` holds when `stdout_truncated`. */
  stdout_bytes: z.int(),
  stderr_bytes: z.int(),
  stdout_truncated: z.boolean(),
  stderr_truncated: z.boolean(),
}
