import type { environment as environmentSchema } from '../../contract/environments.ts'
import type { Paths } from '../../host/paths.ts'
import { type CatalogueEntry, catalogVersion, compatibility, platform } from './catalogue.ts'
import { findInstalled, installDirectory } from './installed.ts'

/** An environment as every front end shows it. */
export type EnvironmentPayload = (typeof environmentSchema)['_output']

export interface RegistryOption {
  /** Registry and namespace of published environments, such as `registry.example/team`. */
  registry?: string | undefined
}

export async function describeEnvironment(paths: Paths, entry: CatalogueEntry, { registry = '' }: RegistryOption = {}): Promise<EnvironmentPayload> {
  const installed = await findInstalled(paths, entry)
  return {
    name: entry.name,
    version: entry.version,
    description: entry.description,
    default_packages: entry.defaultPackages,
    distribution: entry.distribution,
    distribution_version: entry.distributionVersion,
    platform,
    ...published(entry, registry),
    source_digest: installed?.manifest.source_digest ?? null,
    compatibility,
    catalog_version: catalogVersion,
    installed: installed !== undefined,
    cache_dir: paths.environments,
    install_dir: installDirectory(paths, entry),
    ...(installed && { install_manifest: installed.manifestPath, rootfs_image: installed.rootfsImage }),
  }
}

/** Where the environment is published; all empty when no registry is configured. */
function published({ name, version }: CatalogueEntry, registry: string) {
  const [host = '', ...namespace] = registry.split('/').filter(Boolean)
  if (!host) return { oci_registry: '', oci_repository: '', oci_reference: '' }
  const repository = [...namespace, `pyro-environment-${name.replaceAll(':', '-')}`].join('/')
  return { oci_registry: host, oci_repository: repository, oci_reference: version }
}
