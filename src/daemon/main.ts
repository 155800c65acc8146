import { engineBackend } from './server/backend.ts'
import { runDaemon } from './server/run.ts'

await runDaemon(process.env, { backend: engineBackend })
