import { z } from 'zod'
import { environmentName } from './fields.ts'
import { operation } from './operation.ts'

export const environment = z.object({
  name: z.string(),
  version: z.string(),
  description: z.string(),
  default_packages: z.array(z.string()),
  distribution: z.string(),
  distribution_version: z.string(),
  platform: z.literal('linux-x86_64'),
  oci_registry: z.string(),
  oci_repository: z.string(),
  oci_reference: z.string(),
  source_digest: z.string().nullable(),
  compatibility: z.string(),
  catalog_version: z.string(),
  installed: z.boolean(),
  cache_dir: z.string(),
  install_dir: z.string(),
  install_manifest: z.string().optional(),
  kernel_image: z.string().optional(),
  rootfs_image: z.string().optional(),
})

export const listEnvironments = operation({
  name: 'vm_list_environments',
  summary: 'List the environments, and which are installed',
  input: z.strictObject({}),
  output: z.object({ catalog_version: z.string(), environments: z.array(environment) }),
})

export const pullEnvironment = operation({
  name: 'env_pull',
  summary: 'Install an environment',
  input: z.strictObject({ environment: environmentName }),
  output: environment.extend({ kernel_image: z.string(), rootfs_image: z.string(), source: z.string() }),
})

export const inspectEnvironment = operation({
  name: 'env_inspect',
  summary: 'Show one environment',
  input: z.strictObject({ environment: environmentName }),
  output: environment,
})

export const pruneEnvironments = operation({
  name: 'env_prune',
  summary: 'Remove what interrupted, outdated or damaged installs left in the cache',
  input: z.strictObject({}),
  output: z.object({ deleted_environment_dirs: z.array(z.string()), count: z.int() }),
})
