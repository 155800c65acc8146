/** What is promised of machines below the engine. */
export const vmmPromises = {
  'machine.outlives-owner': 'a detached machine outlives whoever started it, and is found again with all that runs in it',
  'machine.lease': 'a detached machine that nobody is connected to for its lease ends, and nothing is left',
  'machine.one-owner': 'a machine has one owner at a time; who comes second is told so in bounded time',
  'machine.end-is-known': 'the end of a machine is told to whoever is connected, paused or not, adopted or not',
  'machine.killed-monitor': "a machine whose monitor was killed is gone, and its disk's lock is free only after the VMM's end",
  'machine.removed': 'a machine that is ended leaves nothing but the files it was given from elsewhere',
  'machine.pause': 'a paused machine uses no CPU, its time stands still, and it goes on where it was',
  'machine.full-disk': "a full disk on the host pauses the guest and loses nothing: with room again it goes on",
  'machine.exchange': 'a blank seed drive is given its image while the machine runs',
  'machine.same-devices': 'a template and its forks have the same devices, whatever their drives',
  'machine.garbage': 'a VMM that answers garbage ends its connection, not us',
} as const
