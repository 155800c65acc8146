import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, linkSync, mkdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { ensureSeed, seedSource } from '../../../src/engine/seed/seed.ts'
import { ownCache } from '../../behaviours/cache.ts'
import { execute, launch, output } from '../../behaviours/guest.ts'
import { temporaryHome } from '../../behaviours/home.ts'
import { verifies } from '../../behaviours/promises.ts'
import { temporaryDirectory } from '../temporary.ts'

const home = temporaryHome({ XDG_CACHE_HOME: ownCache('seeds') })
const { paths } = home.engine
const tree = join(await temporaryDirectory(), 'tree')
const at = (name: string) => join(tree, name)
const everyByte = Buffer.from(Array.from({ length: 256 }, (_, value) => value))

function makeTree(): void {
  mkdirSync(at('bin'), { recursive: true })
  mkdirSync(at('node_modules/.bin'), { recursive: true })
  mkdirSync(at('node_modules/tool'))
  mkdirSync(at('empty'))
  mkdirSync(at('closed'))
  writeFileSync(at('bin/run'), '#!/bin/sh\necho ran\n')
  chmodSync(at('bin/run'), 0o755)
  for (const [name, mode] of [
    ['private', 0o600],
    ['shared', 0o664],
    ['read-only', 0o444],
    ['setuid', 0o4755],
  ] as const) {
    writeFileSync(at(name), name)
    chmodSync(at(name), mode)
  }
  chmodSync(at('closed'), 0o700)
  writeFileSync(at('bytes'), everyByte)
  writeFileSync(at('a name with spaces, ümlaut\nand newline'), 'odd')
  writeFileSync(at('.hidden'), '')
  writeFileSync(at('node_modules/tool/cli.js'), 'tool')
  linkSync(at('bytes'), at('bytes-again'))
  symlinkSync('../tool/cli.js', at('node_modules/.bin/tool'))
  symlinkSync('/usr/bin/env', at('absolute'))
  symlinkSync('nowhere', at('dangling'))
  symlinkSync('../../outside', at('escaping'))
  execFileSync('truncate', ['-s', '100M', at('sparse')])
  utimesSync(at('bytes'), 1_600_000_000, 1_600_000_000)
}
makeTree()

/** Kind, mode, links, size, time, target and content of everything below a directory. */
const inventory = `find . -mindepth 1 ! -type d ! -name sparse -printf '%p|%y|%m|%n|%s|%Ts|%l\\n' -o -type d ! -name . -printf '%p|%y|%m\\n' | LC_ALL=C sort; find . -type f ! -name sparse -exec sha256sum {} + | LC_ALL=C sort -k2`

const host = execFileSync('sh', ['-c', inventory], { cwd: tree, encoding: 'utf8' })

verifies('seed.exact', 'a directory arrives with modes, links, hard links, times and bytes', async () => {
  await using machine = await launch(home, { seed: await seedSource(tree) })
  assert.equal(await output(machine, inventory), host)
  assert.equal(await output(machine, 'bin/run; cat node_modules/.bin/tool; [ bytes -ef bytes-again ] && echo same; readlink escaping absolute'), 'ran\ntoolsame\n../../outside\n/usr/bin/env\n')
  assert.equal(await output(machine, 'stat -c %s sparse; [ $(stat -c %b sparse) -lt 1000 ] && echo sparse'), '104857600\nsparse\n')
  assert.deepEqual((await execute(machine, 'cat bytes')).stdout, everyByte)
})

for (const [suffix, flag] of [
  ['tar', ''],
  ['tar.gz', 'z'],
  ['tgz', 'z'],
] as const) {
  verifies(['seed.archive', 'seed.exact'], `a .${suffix} arrives like the directory it was made from`, async () => {
    const archive = join(await temporaryDirectory(), `tree.${suffix}`)
    execFileSync('tar', ['--create', '--sparse', '--format=pax', `-${flag}f`, archive, '-C', tree, '.'])
    await using machine = await launch(home, { seed: await seedSource(archive) })
    assert.equal(await output(machine, inventory), host)
    assert.equal(await output(machine, 'bin/run; [ bytes -ef bytes-again ] && echo same'), 'ran\nsame\n')
  })
}

verifies('seed.private', 'a machine changes and removes its copy, and neither source nor next machine see it', async () => {
  const seed = await seedSource(tree)
  {
    await using machine = await launch(home, { seed })
    await output(machine, 'echo changed >private; rm -r node_modules; chmod 700 shared; echo new >new; mv bin moved')
    assert.equal(await output(machine, 'cat private; moved/run; ls'), 'changed\nran\na name with spaces, ümlaut\nand newline\nabsolute\nbytes\nbytes-again\nclosed\ndangling\nempty\nescaping\nmoved\nnew\nprivate\nread-only\nsetuid\nshared\nsparse\n')
  }
  assert.equal(readFileSync(at('private'), 'utf8'), 'private')
  await using machine = await launch(home, { seed })
  assert.equal(await output(machine, inventory), host)
})

verifies('seed.shared', 'the same content is packed once, a change packs it again', async () => {
  const source = { kind: 'directory', path: join(await temporaryDirectory(), 'project') } as const
  mkdirSync(source.path)
  writeFileSync(join(source.path, 'file'), 'one')
  const first = await ensureSeed(paths, source)
  assert.deepEqual(await ensureSeed(paths, source), first)
  assert.deepEqual([first.entryCount, first.bytesWritten, first.skipped], [1, 3, []])
  writeFileSync(join(source.path, 'file'), 'two!')
  const second = await ensureSeed(paths, source)
  assert.notEqual(second.path, first.path)
  assert.notEqual(second.digest, first.digest)
  assert.equal(second.bytesWritten, 4)
  chmodSync(join(source.path, 'file'), 0o755)
  assert.notEqual((await ensureSeed(paths, source)).digest, second.digest)
})

verifies('seed.skipped', 'a FIFO and a socket are skipped and reported, the rest arrives', async () => {
  const project = join(await temporaryDirectory(), 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'file'), 'file')
  execFileSync('mkfifo', [join(project, 'fifo')])
  const server = createServer().listen(join(project, 'socket'))
  const source = await seedSource(project)
  const { skipped } = await ensureSeed(paths, source)
  assert.deepEqual(
    skipped.toSorted((a, b) => (a.path < b.path ? -1 : 1)).map(({ path, type }) => `${path}: ${type}`),
    ['fifo: fifo', 'socket: socket'],
  )
  await using machine = await launch(home, { seed: source })
  assert.equal(await output(machine, 'ls -A'), 'file\n')
  server.close()
})

verifies('seed.exact', 'only the files that are named arrive, with the directories above them', async () => {
  await using machine = await launch(home, { seed: { kind: 'directory', path: tree, files: ['bin/run', 'shared', 'was-deleted'] } })
  assert.equal(await output(machine, 'find . -type f | LC_ALL=C sort; bin/run'), './bin/run\n./shared\nran\n')
})
