/** What is promised for the worst of days. */
export const chaosPromises = {
  'chaos.kept': 'whatever is killed, and however full the disk is, what was answered is there: records, flushed files, and the whole output of ended commands',
  'chaos.whole': 'nothing is half done after it: records, directories and machines are those of each other, and every workspace works',
  'chaos.orphans': 'nothing is orphaned by it: no process, no socket, no directory',
  'luck.full-disk': 'on a full disk nothing new is made, what is there can be looked at and deleted, and all goes on once there is room',
  'luck.held': 'a workspace that waits for room says so to whoever needs it, and is not ended for it',
  'luck.read-only': 'a state directory that cannot be written is named, and nothing is changed',
  'luck.newer': 'what a newer pyro wrote is refused and left alone, its running machines as well',
  'luck.damaged': 'when the records are damaged, workspaces are found again with what is in them, and whoever lists them is told',
  'luck.removed': 'what was removed under a workspace costs no more than that: it works, or says what is missing and can be deleted',
  'luck.environment': 'a workspace starts without the environment that it was made from being in the cache',
  'luck.many': 'many more workspaces than machines fit can be made, and each works when it is needed',
  'luck.clock': 'a clock that jumps deletes nothing, and keeps nothing busy',
  'hostile.bounded': 'a guest that answers garbage, nothing or without an end costs an error, in bounded time',
  'hostile.apart': 'a workspace whose guest does not answer can be stopped and deleted, and holds no other one up',
  'hostile.flat': 'endless output costs no memory',
} as const
