import { z } from 'zod'
import { operation } from './operation.ts'

const check = z.object({
  name: z.string(),
  status: z.enum(['pass', 'fail', 'unknown']),
  /** What was found, in one line. */
  details: z.string(),
})

export const doctor = operation({
  name: 'doctor',
  summary: 'Boot a guest, and say what works on this host and what to do about what does not',
  input: z.strictObject({
    platform: z.enum(['linux-x86_64']).default('linux-x86_64').describe('Platform to judge'),
    environment: z.string().default('debian:12').describe('Environment to boot'),
  }),
  output: z.object({
    platform: z.string(),
    /** A guest of this environment has booted and run a command just now. */
    runtime_ok: z.boolean(),
    issues: z.array(z.string()),
    kvm: z.object({ exists: z.boolean(), readable: z.boolean(), writable: z.boolean() }),
    networking: z.object({
      enabled_by_default: z.boolean(),
      tun_available: z.boolean(),
      ip_binary: z.string().nullable(),
      nft_binary: z.string().nullable(),
      iptables_binary: z.string().nullable(),
      ip_forward_enabled: z.boolean(),
    }),
    runtime: z
      .object({
        bundle_root: z.string(),
        manifest_path: z.string(),
        artifacts_present: z.boolean(),
        bundle_version: z.string(),
        component_versions: z.record(z.string(), z.string()),
        capabilities: z.object({
          supports_vm_boot: z.boolean(),
          supports_guest_exec: z.boolean(),
          supports_guest_network: z.boolean(),
          reason: z.string().nullable(),
        }),
        catalog_version: z.string(),
        cache_dir: z.string(),
      })
      .optional(),
    /** The virtual machine monitors, in order of preference. */
    vmms: z.array(check),
    /** Which of them was used to boot. */
    vmm: z.string().nullable(),
    /** What keeps a VMM that a guest has taken over from the host: measured just now with a probe in a VMM's place. */
    confinement: z.array(check),
    checks: z.array(check),
  }),
})
