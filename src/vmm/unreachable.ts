import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** How long a monitor that was asked to end its machine may take. */
const politeMs = 3000
const dyingMs = 5000
const lookMs = 10

/**
 * Ends the machine that holds a lock and that cannot be asked to end: its sockets were removed, or it does not answer.
 * Does nothing when no monitor holds the lock, or the kernel does not tell.
 */
export async function endUnreachable(lock: string): Promise<void> {
  for (const [signal, patienceMs] of [['SIGTERM', politeMs], ['SIGKILL', dyingMs]] as const) {
    const pid = holderOf(lock)
    if (pid === undefined || !isMonitor(pid, lock)) return
    process.kill(pid, signal)
    const deadline = performance.now() + patienceMs
    while (holderOf(lock) !== undefined && performance.now() < deadline) await delay(lookMs)
  }
}

/** The process that locked a file for itself alone, by flock. */
function holderOf(path: string): number | undefined {
  try {
    const { ino } = statSync(path)
    for (const line of readFileSync('/proc/locks', 'utf8').split('\n')) {
      const [, kind, , access, pid, place] = line.split(/\s+/)
      // The kernel names the file by a number that a file elsewhere may have as well: whoever asks looks at the process.
      if (kind === 'FLOCK' && access === 'WRITE' && place?.split(':')[2] === String(ino) && Number(pid) > 0) return Number(pid)
    }
  } catch {
    // Not there, or not told here.
  }
  return undefined
}

/** Whether a process is a monitor that has the lock's file open. */
function isMonitor(pid: number, lock: string): boolean {
  try {
    const [program = '', command] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    if (!program.endsWith('/pyro-host') || command !== 'monitor') return false
    const path = realpathSync(lock)
    return readdirSync(`/proc/${pid}/fd`).some((descriptor) => readlinkSync(`/proc/${pid}/fd/${descriptor}`) === path)
  } catch {
    return false
  }
}
