export * from '../host/program.ts'
