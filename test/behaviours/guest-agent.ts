/** What the guest's agent promises. */
export const guestAgentPromises = {
  'checkpoint.on-change': 'a checkpoint is made when something changed since the last one, and none otherwise',
  'checkpoint.lasts': 'a checkpoint that was answered, and what it holds, outlasts a killed VMM',
  'checkpoint.whole-or-none': 'a checkpoint that was cut leaves a whole one or none',
  'checkpoint.keeps': 'the oldest checkpoints are dropped beyond as many as are to be kept',
  'disk.again': 'a disk that was used is attached again, however its machine ended',
  'disk.clean-end': 'a machine that was shut down leaves a clean disk, whatever still wrote to it',
  'disk.failure-told': 'a disk that takes no more writes is told',
  'lease.ends': 'a machine that no host is connected to for its lease shuts down',
  'lease.renewed': 'a machine that a host is connected to outlasts its lease',
  'seed.exchanged': 'a seed whose drive was read before holds what the image holds now',
  'lockdown.kernel': 'root of a guest loads no module, reboots nothing and changes no setting of the kernel',
  'lockdown.devices': 'root of a guest opens no disk, no channel of the agent and no memory, however it comes by a device node',
  'lockdown.disk': 'root of a guest reaches nothing of its disk but its own files',
  'lockdown.agent': 'root of a guest neither sees, reads nor ends the agent and its init',
  'lockdown.usable': 'terminals, random numbers, tunnels and the network settings stay usable for root of a guest',
  'agent.survives': 'a command that forks, fills memory or floods its output leaves the agent answering and the next command running',
} as const
