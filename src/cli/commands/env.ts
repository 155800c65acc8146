import type { OutputOf } from '../../contract/operation.ts'
import type * as operations from '../../contract/environments.ts'
import { inspectEnvironment, listEnvironments, pruneEnvironments, pullEnvironment } from '../../engine/environment/operations.ts'
import { yesNo } from '../render.ts'
import { type CommandAction, printResult, progressLines } from './command.ts'

type Environment = OutputOf<typeof operations.inspectEnvironment>

export const list: CommandAction<typeof operations.listEnvironments> = async (input, { engine, json }) => {
  const result = await listEnvironments(engine, input)
  const lines = result.environments.map(({ name, installed, description }) => `${name} [${installed ? 'installed' : 'not installed'}] ${description}`)
  return printResult({ json }, result, [`Catalog version: ${result.catalog_version}`, ...(lines.length > 0 ? lines : ['No environments found.'])])
}

export const pull: CommandAction<typeof operations.pullEnvironment> = async (input, { engine, json, signal }) => {
  const say = (phase: string) => void (json || process.stderr.write(`[pull] phase=${phase} environment=${input.environment}\n`))
  const result = await pullEnvironment(engine, input, { signal, progress: progressLines(json), onStart: () => say('install') })
  say('ready')
  return printResult({ json }, result, detailBlock('Pulled', result))
}

export const inspect: CommandAction<typeof operations.inspectEnvironment> = async (input, { engine, json }) => {
  const result = await inspectEnvironment(engine, input)
  return printResult({ json }, result, detailBlock('Environment', result))
}

export const prune: CommandAction<typeof operations.pruneEnvironments> = async (input, { engine, json }) => {
  const result = await pruneEnvironments(engine, input)
  const { count, deleted_environment_dirs: directories } = result
  return printResult({ json }, result, [`Deleted ${count} cached environment ${count === 1 ? 'entry' : 'entries'}.`, ...directories.map((directory) => `- ${directory}`)])
}

function detailBlock(title: string, environment: Environment): string[] {
  const { distribution, distribution_version, oci_registry, oci_repository, oci_reference } = environment
  const optional: [string, string | undefined][] = [
    ['Install dir', environment.installed ? environment.install_dir : undefined],
    ['Install manifest', environment.install_manifest],
    ['Kernel image', environment.kernel_image],
    ['Rootfs image', environment.rootfs_image],
    ['OCI source', oci_registry ? `${oci_registry}/${oci_repository}:${oci_reference}` : undefined],
  ]
  return [
    `${title}: ${environment.name}`,
    `Version: ${environment.version}`,
    `Distribution: ${distribution} ${distribution_version}`,
    `Installed: ${yesNo(environment.installed)}`,
    `Cache dir: ${environment.cache_dir}`,
    `Default packages: ${environment.default_packages.join(', ')}`,
    `Description: ${environment.description}`,
    ...optional.flatMap(([label, value]) => (value === undefined ? [] : [`${label}: ${value}`])),
  ]
}
