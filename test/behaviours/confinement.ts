/** What is promised of a VMM that a guest has taken over. */
export const confinementPromises = {
  'confine.network': 'a VMM reaches no network and no socket of the host',
  'confine.files': 'a VMM sees its program, libraries, firmware and the files of its machine, and no other file of the host',
  'confine.processes': 'a VMM sees and signals no process but itself',
  'confine.user': 'where pyro runs as root each VMM has a user of its own',
  'confine.rights': 'a VMM has no capabilities, cannot gain any, and a filter refuses system calls that no VMM needs',
  'confine.template': "a VMM cannot write to its template's memory, whatever its version",
  'confine.dies': 'a VMM dies with its monitor, confined or not',
  'confine.doctor': 'doctor measures what confines a VMM on this host, and says why something does not hold',
} as const
