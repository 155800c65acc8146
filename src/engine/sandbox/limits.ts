/** A guest that has not flushed its disk after this long is not going to. */
export const flushTimeoutMs = 60_000
