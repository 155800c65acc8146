/** A step of something that takes over a second, told to whoever waits for it. */
export interface ProgressEvent {
  /** Such as `template` or `install`. */
  phase: string
  detail?: string
  /** 0 to 1, where it is known. */
  fraction?: number
}

export type Progress = (event: ProgressEvent) => void
