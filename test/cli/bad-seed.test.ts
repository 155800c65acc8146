import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { ownCache } from '../behaviours/cache.ts'
import { remains, temporaryHome } from '../behaviours/home.ts'
import { verifies } from '../behaviours/promises.ts'
import { assertRefused, type Refusal, runTrue } from '../behaviours/refusal.ts'
import { temporaryDirectory } from '../engine/temporary.ts'
import { withoutPrivilege } from '../behaviours/privilege.ts'

const home = temporaryHome({ XDG_CACHE_HOME: ownCache('seeds') })
const directory = await temporaryDirectory()
const at = (name: string) => join(directory, name)

writeFileSync(at('text.txt'), 'no archive')
writeFileSync(at('text.tar.gz'), 'no archive')
writeFileSync(at('cut.tgz'), gzipSync(Buffer.alloc(100_000, 'x')).subarray(0, 60))
mkdirSync(at('secret'))
writeFileSync(at('secret/readable'), 'x')
writeFileSync(at('secret/unreadable'), 'x', { mode: 0 })
mkdirSync(at('closed'))
chmodSync(at('closed'), 0)

/** Neither a machine nor a seed was made. */
function untouched(): void {
  assert.deepEqual(remains(home), [])
  const { seeds } = home.engine.paths
  assert.deepEqual(readdirSync(join(seeds, '..')).includes('seeds') ? readdirSync(seeds) : [], [])
}

const invalid = (error: RegExp, hint = /./): Refusal => ({ code: 'seed_invalid', error, hint })

for (const [title, name, refusal] of [
  ['that does not exist', 'nowhere', invalid(/nowhere does not exist/, /directory.*\.tar\.gz/)],
  ['below a file', 'text.txt/x', invalid(/does not exist/)],
  ['that is a plain file', 'text.txt', invalid(/text\.txt is neither a directory nor a \.tar/, /tar -czf/)],
  ['that is a device', '../../dev/null', invalid(/\/dev\/null is neither a directory nor/)],
  ['that is an archive by name only', 'text.tar.gz', invalid(/text\.tar\.gz/)],
  ['that is an archive cut short', 'cut.tgz', invalid(/cut\.tgz/)],
] as const) {
  verifies(['errors.seed', 'errors.form'], `a seed ${title} is refused and nothing is made`, async () => {
    await assertRefused(home, runTrue('--seed-path', at(name)), refusal)
    untouched()
  })
}

for (const [title, name, refusal] of [
  ['with a file that cannot be read', 'secret', invalid(/secret\/unreadable/, /readable|leave it out/)],
  ['that cannot be entered', 'closed', invalid(/closed/, /readable|leave it out/)],
] as const) {
  verifies('errors.seed', `a seed ${title} is refused by name and nothing is made`, async () => {
    await assertRefused(home, runTrue('--seed-path', at(name)), refusal, { through: withoutPrivilege() })
    untouched()
  })
}

verifies('errors.seed', 'an empty seed path is refused', async () => {
  await assertRefused(home, runTrue('--seed-path='), { code: 'invalid_argument', error: /seed_path must not be empty/, hint: /./ })
})
