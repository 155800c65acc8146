package tsc

const supported = true

// rdtsc reads the time-stamp counter, in order with the code around it.
func rdtsc() uint64
