package workload

import (
	"fmt"
	"os"
	"runtime"
)

// thread is one OS thread that stays in the workload's namespaces. What must
// happen there runs on it, one call after the other.
type thread struct{ work chan func() }

// startThread runs enter on a new thread and keeps it when that succeeds.
func startThread(enter func() error) (*thread, error) {
	t := &thread{work: make(chan func())}
	entered := make(chan error)
	go func() {
		// Never unlocked: the thread ends with this goroutine.
		runtime.LockOSThread()
		err := enter()
		entered <- err
		if err != nil {
			return
		}
		for f := range t.work {
			f()
		}
	}()
	return t, <-entered
}

func (t *thread) do(f func()) {
	done := make(chan struct{})
	t.work <- func() {
		defer close(done)
		defer func() {
			if cause := recover(); cause != nil {
				fmt.Fprintln(os.Stderr, "pyro-agent: panic in the workload's thread:", cause)
			}
		}()
		f()
	}
	<-done
}

// end lets the thread leave the namespaces.
func (t *thread) end() { close(t.work) }
