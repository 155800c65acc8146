// Package tsc measures the frequency of the processor's time-stamp counter.
package tsc

import (
	"math"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/event"
)

const (
	window = 200 * time.Millisecond
	pairs  = 64
)

type frequency struct {
	Event string `json:"event"`
	KHz   int64  `json:"khz"`
}

// Command is `pyro-host tsc`.
func Command(out *event.Stream) error {
	if !supported {
		return event.Errorf("unsupported", "this processor has no time-stamp counter that pyro knows")
	}
	khz, err := Measure()
	if err != nil {
		return err
	}
	return out.Emit(frequency{Event: "tsc", KHz: khz})
}

// Measure is the counter's frequency in kHz against CLOCK_MONOTONIC_RAW.
func Measure() (int64, error) {
	first, err := read()
	if err != nil {
		return 0, err
	}
	time.Sleep(window)
	second, err := read()
	if err != nil {
		return 0, err
	}
	if second.ticks <= first.ticks || second.nanos <= first.nanos {
		return 0, event.Errorf("unsupported", "the time-stamp counter does not advance")
	}
	ticks := float64(second.ticks - first.ticks)
	return int64(math.Round(ticks * 1e6 / float64(second.nanos-first.nanos))), nil
}

type reading struct {
	ticks uint64
	nanos int64
}

// read pairs the counter with the clock. Of several tries the one with the
// least time around it is the one that nothing interrupted.
func read() (reading, error) {
	var best reading
	least := int64(math.MaxInt64)
	for range pairs {
		before, err := clock()
		if err != nil {
			return best, err
		}
		ticks := rdtsc()
		after, err := clock()
		if err != nil {
			return best, err
		}
		if after-before < least {
			least = after - before
			best = reading{ticks: ticks, nanos: before + (after-before)/2}
		}
	}
	return best, nil
}

func clock() (int64, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &now); err != nil {
		return 0, err
	}
	return now.Nano(), nil
}
