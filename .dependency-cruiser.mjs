/** Who may import whom: arrows point down. Each layer lists all that it may use beside itself. */
const layers = {
  contract: [],
  host: ['contract'],
  guest: ['contract'],
  vmm: ['contract', 'host'],
  engine: ['contract', 'host', 'guest', 'vmm'],
  sdk: ['contract', 'host', 'engine'],
  cli: ['contract', 'host', 'engine', 'sdk'],
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
