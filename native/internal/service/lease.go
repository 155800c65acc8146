package service

import (
	"sync"
	"time"
)

// leaseRetry is how long a lease that could not be ended waits to try again.
const leaseRetry = 100 * time.Millisecond

// lease ends the machine of a host that is gone: once nobody has been
// connected for its whole length.
type lease struct {
	// expired ends the machine, or tells that it cannot now.
	expired func() (ended bool)

	mu     sync.Mutex
	hosts  int
	length time.Duration
	// left counts how often the last host has left: only the wait of the last time counts.
	left int
}

// begin sets the length of the lease. 0 is no lease.
func (l *lease) begin(length time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.length = length
	l.wait(length)
}

func (l *lease) connected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts++
}

func (l *lease) disconnected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts--
	l.wait(l.length)
}

// wait lets the lease expire after so long, unless a host comes before.
func (l *lease) wait(length time.Duration) {
	if l.hosts > 0 || l.length == 0 {
		return
	}
	l.left++
	me := l.left
	time.AfterFunc(length, func() {
		l.mu.Lock()
		over := l.hosts == 0 && l.left == me
		l.mu.Unlock()
		if !over || l.expired() {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.left == me {
			l.wait(leaseRetry)
		}
	})
}
