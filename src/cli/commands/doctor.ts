import type { doctor as operation } from '../../contract/doctor.ts'
import type { OutputOf } from '../../contract/operation.ts'
import { daemonStatus } from '../../daemon/client/control.ts'
import { diagnose } from '../../engine/doctor/doctor.ts'
import { jsonText, yesNo } from '../render.ts'
import { readableTime } from '../times.ts'
import { type CommandAction, type CommandContext, progressLines } from './command.ts'

export const doctor: CommandAction<typeof operation> = async (input, { engine, json, signal, connect }) => {
  const [found, forgotten] = await Promise.all([diagnose(engine, input, { signal, progress: progressLines(json) }), retention(engine, connect)])
  const report = { ...found, checks: [...found.checks, ...forgotten] }
  process.stdout.write(json ? `${jsonText(report)}\n` : lines(report).map((line) => `${line}\n`).join(''))
  return 0
}

/** The workspaces that are deleted soon because nobody uses them, as a running daemon knows them. None is started to ask. */
async function retention({ paths }: CommandContext['engine'], connect: CommandContext['connect']): Promise<OutputOf<typeof operation>['checks']> {
  if (!(await daemonStatus(paths).catch(() => undefined))) return []
  await using client = await connect()
  const { workspaces } = await client.call('workspace_list', {})
  return workspaces.flatMap(({ workspace_id, retention_due_at }) =>
    retention_due_at === null ? [] : [{ name: 'retention', status: 'unknown' as const, details: `workspace ${workspace_id} is deleted at ${readableTime(retention_due_at)} unless it is used` }],
  )
}

function lines({ platform, runtime_ok, issues, kvm, networking, runtime, vmms, confinement, checks }: OutputOf<typeof operation>): string[] {
  const capabilities = runtime?.capabilities
  return [
    `Platform: ${platform}`,
    `Runtime: ${runtime_ok ? 'PASS' : 'FAIL'}`,
    ...checks.map(({ name, details }) => `  ${name}: ${details}`),
    `KVM: exists=${yesNo(kvm.exists)} readable=${yesNo(kvm.readable)} writable=${yesNo(kvm.writable)}`,
    'VMMs, best first:',
    ...vmms.map(({ name, status, details }) => `  ${name} [${status}] ${details}`),
    'Confinement of the VMM:',
    ...table(confinement.map(({ name, status, details }) => [name, status, details])),
    ...(runtime && capabilities
      ? [
          `Catalog version: ${runtime.catalog_version}`,
          `Environment cache: ${runtime.cache_dir}`,
          `Capabilities: vm_boot=${yesNo(capabilities.supports_vm_boot)} guest_exec=${yesNo(capabilities.supports_guest_exec)} guest_network=${yesNo(capabilities.supports_guest_network)}`,
        ]
      : []),
    `Networking: tun=${yesNo(networking.tun_available)} ip_forward=${yesNo(networking.ip_forward_enabled)}`,
    ...(issues.length > 0 ? ['Issues:', ...issues.map((issue) => `- ${issue}`)] : []),
  ]
}

/** Rows with aligned columns, indented. */
function table(rows: string[][]): string[] {
  const widths = rows.reduce<number[]>((widest, row) => row.map((cell, column) => Math.max(widest[column] ?? 0, cell.length)), [])
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd())
}
