import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as contract from '../../../src/contract/environments.ts'
import { catalogue, findEntry } from '../../../src/engine/environment/catalogue.ts'
import { inspectEnvironment, listEnvironments } from '../../../src/engine/environment/operations.ts'
import { resolvePaths } from '../../../src/host/paths.ts'
import { temporaryDirectory } from '../temporary.ts'

const cache = await temporaryDirectory()
const engine = { paths: resolvePaths({ XDG_CACHE_HOME: cache }), env: {} }

test('the list has the environments of the contract by name, in the shape of the contract', async () => {
  const list = contract.listEnvironments.output.parse(await listEnvironments(engine, {}))
  assert.deepEqual(
    list.environments.map(({ name, default_packages }) => [name, default_packages]),
    [
      ['debian:12', ['bash', 'coreutils', 'git']],
      ['debian:12-base', ['bash', 'coreutils']],
      ['debian:12-build', ['bash', 'coreutils', 'git', 'gcc', 'make', 'cmake', 'python3']],
    ],
  )
  assert.equal(list.catalog_version, '5.0.0')
})

test('every recipe installs what its environment promises', () => {
  for (const { name, defaultPackages, source } of catalogue) {
    for (const promised of defaultPackages) assert.ok(source.packages.includes(promised), `${name}: ${promised}`)
  }
})

test('an environment that is not installed says so, and where it would be', async () => {
  const { installed, install_dir, source_digest, compatibility, ...rest } = await inspectEnvironment(engine, { environment: 'debian:12-build' })
  assert.equal(installed, false)
  assert.equal(source_digest, null)
  assert.equal(compatibility, '>=5.0.0,<6.0.0')
  assert.equal(install_dir, `${cache}/pyro-mcp/environments/linux-x86_64/debian_12-build-1.0.0`)
  assert.ok(!('install_manifest' in rest))
})

test('without a registry there is no published image; with one it is named', async () => {
  const named = async (env: NodeJS.ProcessEnv) => {
    const { oci_registry, oci_repository, oci_reference } = await inspectEnvironment({ ...engine, env }, { environment: 'debian:12-base' })
    return [oci_registry, oci_repository, oci_reference]
  }
  assert.deepEqual(await named({}), ['', '', ''])
  assert.deepEqual(await named({ PYRO_REGISTRY: 'registry.example/team' }), ['registry.example', 'team/pyro-environment-debian-12-base', '1.0.0'])
})

test('an unknown environment is refused with the known names', () => {
  assert.throws(() => findEntry('debian:99'), {
    code: 'unknown_environment',
    message: 'unknown environment "debian:99"; known environments: debian:12, debian:12-base, debian:12-build',
  })
})
