/** What a confined VMM gets besides its descriptors; its documentation is the Go type `Spec` in native/internal/confine. */
export interface Confine {
  read: string[]
  write: string[]
  lend: string[]
  devices: string[]
  connect: string
  memory_mib: number
  threads: number
}

/** What a VMM has to reach by path beside itself and its libraries. Everything else comes to it as a descriptor. */
interface Needs {
  /** Files that it opens for reading. */
  read?: string[]
  /** Files that it makes or changes. */
  write?: string[]
  /** Files that it insists on opening for writing but only reads. */
  lend?: string[]
  devices?: string[]
  /** A directory with Unix sockets that it connects to. */
  connect?: string
  /** The guest's memory. */
  memMib: number
}

/** What a VMM takes beside its guest's memory: code, translated code, buffers. One that emulates was seen to take less than half of it. */
const ownMemoryMib = 512
/** vCPUs, and up to 64 at once for blocking I/O. */
const maxThreads = 256

/** How the stage between monitor and VMM is to confine it. */
export function confinement({ read = [], write = [], lend = [], devices = [], connect = '', memMib }: Needs): Confine {
  return { read, write, lend, devices, connect, memory_mib: memMib + ownMemoryMib, threads: maxThreads }
}
