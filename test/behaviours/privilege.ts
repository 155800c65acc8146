/** Words that run a program as a user whom permissions stop: root keeps its id, but not its way around them. */
export function withoutPrivilege(): string[] {
  return process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--'] : []
}
