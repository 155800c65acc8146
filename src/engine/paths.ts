export * from '../host/paths.ts'
