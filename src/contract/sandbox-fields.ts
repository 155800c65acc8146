import { z } from 'zod'

/** A name given by a person: labels' keys, services, snapshots. */
const identifier = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const variableName = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/
const longestName = 120
/** A file that a guest's command line could not carry either. */
const longestValue = 128 * 1024

/** The id of a workspace: 12 lower-case hex digits, as `workspace create` prints it. */
export const workspaceId = z.string().trim().min(1, 'workspace_id must not be empty').describe('Workspace id')

export const vmId = z.string().trim().min(1, 'vm_id must not be empty').describe('VM id')

export const workspaceName = z
  .string()
  .trim()
  .min(1, 'name must not be empty')
  .max(longestName, `name must have at most ${longestName} characters`)
  .regex(/^\P{Cc}*$/u, 'name must not hold control characters')
  .describe('Name for people')

const labelKey = z.string().regex(identifier, { error: ({ input }) => `label key ${JSON.stringify(input)} must match ${identifier.source}` })
const labelValue = z
  .string()
  .trim()
  .min(1, 'a label value must not be empty')
  .max(longestName, `a label value must have at most ${longestName} characters`)
  .regex(/^\P{Cc}*$/u, 'a label value must not hold a newline or another control character')

export const labels = z.record(labelKey, labelValue, 'labels must map keys to values')

export const clearLabels = z.array(z.string().trim().min(1, 'a label to clear must not be empty'))

export const environmentVariables = z.record(
  z.string().regex(variableName, { error: ({ input }) => `environment variable ${JSON.stringify(input)} must match ${variableName.source}` }),
  z
    .string()
    .max(longestValue, `the value of an environment variable must have at most ${longestValue} characters`)
    .refine((value) => !value.includes('\0'), 'the value of an environment variable must not hold NUL'),
)

export const networkPolicy = z.enum(['off', 'egress', 'egress+published-ports'], 'network_policy must be one of off, egress, egress+published-ports')

/** A path in the guest at or below /workspace; a relative one is below it. Resolves to the absolute form. */
export function workspacePath(field: string) {
  const outside = `${field} must stay inside /workspace`
  return z
    .string()
    .refine((path) => path.trim() !== '', `${field} must not be empty`)
    .refine((path) => !path.includes('\0'), `${field} must not hold NUL`)
    .refine((path) => !path.split('/').includes('..'), outside)
    .transform((path) => (path.startsWith('/') ? path : `/workspace/${path}`).replace(/\/+(\.\/+)*/g, '/').replace(/(?<=.)\/\.?$/, ''))
    .refine((path) => path === '/workspace' || path.startsWith('/workspace/'), outside)
}
