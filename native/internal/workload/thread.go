package workload

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
)

// thread is one OS thread that stays in the workload's namespaces. What must
// happen there runs on it, one call after the other.
type thread struct {
	work chan func()
	over chan struct{}
	once sync.Once
}

// ErrEnded refuses work for a workload that is shut down.
var ErrEnded = errors.New("the workload has ended")

// startThread runs enter on a new thread and keeps it when that succeeds.
func startThread(enter func() error) (*thread, error) {
	t := &thread{work: make(chan func()), over: make(chan struct{})}
	entered := make(chan error)
	go func() {
		// Never unlocked: the thread ends with this goroutine.
		runtime.LockOSThread()
		err := enter()
		entered <- err
		if err != nil {
			return
		}
		for {
			select {
			case f := <-t.work:
				f()
			case <-t.over:
				return
			}
		}
	}()
	return t, <-entered
}

// do returns once f has run, or at once when the thread has ended.
func (t *thread) do(f func()) error {
	done := make(chan struct{})
	run := func() {
		defer close(done)
		defer func() {
			if cause := recover(); cause != nil {
				fmt.Fprintln(os.Stderr, "pyro-agent: panic in the workload's thread:", cause)
			}
		}()
		f()
	}
	select {
	case t.work <- run:
		<-done
		return nil
	case <-t.over:
		return ErrEnded
	}
}

// end lets the thread leave the namespaces, once what runs on it has returned.
func (t *thread) end() { t.once.Do(func() { close(t.over) }) }
