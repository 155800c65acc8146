/** Who may import whom: arrows point down. Each layer lists all that it may use beside itself. */
const layers = {
  contract: [],
  host: ['contract'],
  guest: ['contract'],
  vmm: ['contract', 'host'],
  store: ['contract', 'host'],
  engine: ['contract', 'host', 'guest', 'vmm', 'store'],
  daemon: ['contract', 'host', 'store', 'engine'],
  sdk: ['contract', 'host', 'engine', 'daemon'],
  cli: ['contract', 'host', 'engine', 'daemon', 'sdk'],
}

export default {
  forbidden: [
    ...Object.entries(layers).map(([layer, allowed]) => ({
      name: `${layer}-points-down`,
      severity: 'error',
      from: { path: `^src/${layer}/` },
      to: { path: '^src/[^/]+/', pathNot: `^src/(${[layer, ...allowed].join('|')})/` },
    })),
    { name: 'every-folder-is-a-layer', severity: 'error', from: {}, to: { path: '^src/[^/]+/', pathNot: `^src/(${Object.keys(layers).join('|')})/` } },
    {
      name: 'client-is-light',
      comment: 'what every command line loads: nothing of the engine',
      severity: 'error',
      from: { path: '^src/daemon/(client/|[^/]+$)', pathNot: '^src/daemon/main.ts$' },
      to: { path: '^src/', pathNot: '^src/(contract/|host/|store/lock.ts$|daemon/(client/|[^/]+$))' },
    },
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'only-declared-packages', severity: 'error', from: { path: '^src/' }, to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'unknown', 'undetermined'] } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.mjs'], exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
}
