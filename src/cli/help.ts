/** What root help says after the list of commands. */
export const rootNotes = `
First steps:
  pyro doctor
  pyro env pull debian:12
  pyro run debian:12 -- git --version

A project in a machine of its own:
  pyro run debian:12-build --seed-path . -- make test

A machine that lasts:
  pyro workspace create debian:12-build --seed-path .
  pyro workspace exec WORKSPACE_ID -- make test`
