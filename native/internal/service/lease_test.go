package service

import (
	"testing"
	"testing/synctest"
	"time"
)

// leased counts how often a lease ended the machine, or tried to while it was busy.
type leased struct {
	lease
	tries int
	busy  bool
}

func newLease(length time.Duration) *leased {
	l := &leased{}
	l.expired = func() bool {
		l.tries++
		return !l.busy
	}
	l.connected()
	l.begin(length)
	return l
}

func (l *leased) want(t *testing.T, after time.Duration, tries int) {
	t.Helper()
	time.Sleep(after)
	synctest.Wait()
	if l.tries != tries {
		t.Fatalf("%d tries to end the machine, not %d", l.tries, tries)
	}
}

func TestALeaseEndsTheMachineOnceTheLastHostIsGoneForItsLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(time.Minute)
		l.connected()
		l.want(t, time.Hour, 0)
		l.disconnected()
		l.want(t, time.Hour, 0)
		l.disconnected()
		l.want(t, 59*time.Second, 0)
		l.want(t, 2*time.Second, 1)
		l.want(t, time.Hour, 1)
	})
}

func TestAHostThatComesBackRenewsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(time.Minute)
		for range 10 {
			l.disconnected()
			l.want(t, 40*time.Second, 0)
			l.connected()
			l.want(t, 40*time.Second, 0)
		}
		l.disconnected()
		l.want(t, 61*time.Second, 1)
	})
}

func TestALeaseThatCannotEndTheMachineTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(time.Minute)
		l.busy = true
		l.disconnected()
		l.want(t, time.Minute+10*leaseRetry+leaseRetry/2, 11)
		l.busy = false
		l.want(t, time.Hour, 12)
	})
}

func TestNoLeaseLastsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(0)
		l.disconnected()
		l.want(t, 1000*time.Hour, 0)
	})
}

func TestAHostThatLeavesDuringAttachIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(0)
		l.disconnected()
		l.begin(time.Minute)
		l.want(t, 61*time.Second, 1)
	})
}
