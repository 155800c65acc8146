/** The environment of every command in a guest, before what its caller adds. */
export const guestVariables: Record<string, string> = {
  HOME: '/root',
  LANG: 'C.UTF-8',
  LOGNAME: 'root',
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  SHELL: '/bin/bash',
  USER: 'root',
}

export const workspacePath = '/workspace'

/** How a command line is run: a login shell, so that /etc/profile counts. */
export function shellCommand(command: string): string[] {
  return ['/bin/sh', '-lc', command]
}
