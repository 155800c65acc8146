// Package monitor owns one machine for its life: whatever ends first, the
// owner, the monitor or the VMM, the other two follow, and nothing of the
// machine is left. A detached machine has no owner but clients, who come and
// go, and ends when none came for the time of its lease.
package monitor

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/event"
)

type started struct {
	Event string `json:"event"`
	PID   int    `json:"pid"`
	// Descriptors are the numbers under which the VMM inherited them, by name.
	Descriptors map[string]int `json:"descriptors"`
}

type exited struct {
	Event   string  `json:"event"`
	Code    *int    `json:"code"`
	Signal  *string `json:"signal"`
	Console string  `json:"console"`
}

// Command is `pyro-host monitor`. It must run on the main thread, which must be locked to its goroutine.
func Command(stdin io.Reader, out *event.Stream) error {
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	// An answer that nobody reads any more must not end us before the machine is removed.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	// The terminal's signals are for the owner. As the leader of a process group this fails: then they are ours.
	unix.Setsid()
	keepDescriptors()
	adoptOrphans()

	owner := listenTo(stdin)
	var line []byte
	select {
	case line = <-owner.lines:
	case <-owner.gone:
		return event.Errorf("no_spec", "stdin ended before the spec")
	case <-end:
		return nil
	}
	spec, err := parseSpec(line)
	if err != nil {
		return err
	}
	return run(spec, owner, end, out)
}

// keepDescriptors stops the VMM from inheriting what the owner may have left open for us.
func keepDescriptors() {
	if unix.CloseRange(3, ^uint(0)>>33, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	for fd := 3; fd < 1024; fd++ {
		unix.CloseOnExec(fd)
	}
}

// run makes the machine, watches over it and removes it.
func run(spec *Spec, owner *owner, end <-chan os.Signal, out *event.Stream) error {
	path, err := findVMM(spec.Argv[0])
	if err != nil {
		return err
	}
	abandoned, abandon := context.WithCancel(context.Background())
	if spec.Detached != nil {
		os.Chdir("/") // the place where a user happened to be is not ours to keep busy
		go func() { <-end; abandon() }()
	} else {
		go func() {
			select {
			case <-owner.gone:
			case <-end:
			}
			abandon()
		}()
	}
	m := &machine{spec: spec}
	pid, err := m.launch(abandoned, path, out)
	if err != nil {
		return m.giveUp(err, abandoned.Err() != nil)
	}
	dead := ended(pid)
	servant := newServant(m)
	m.announce(started{Event: "started", PID: pid, Descriptors: spec.inherited()}, servant, owner, out)
	byItself := true
	select {
	case <-dead:
	case <-servant.unwanted:
	case <-m.leaseOver():
		byItself = false
	case <-abandoned.Done():
		byItself = false
	}
	kill(pid)
	<-dead
	return m.bury(pid, byItself, out)
}

func (m *machine) launch(ctx context.Context, path string, out *event.Stream) (pid int, err error) {
	if err := m.prepare(ctx); err != nil {
		return 0, err
	}
	if err := out.Emit(event.Name{Event: "listening"}); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return m.start(path)
}

// giveUp removes a machine that did not start. Whoever abandoned it need not be told.
func (m *machine) giveUp(err error, abandoned bool) error {
	if m.clients != nil {
		m.clients.finish(event.FailureOf(err))
	}
	if removed := m.undo(); removed != nil {
		err = errors.Join(err, removed)
	}
	if abandoned {
		return nil
	}
	return err
}

// announce tells that the VMM runs, and lets those who hear it command.
func (m *machine) announce(s started, servant *servant, owner *owner, out *event.Stream) {
	if m.clients == nil {
		out.Emit(s)
		go servant.obey(owner, out)
		return
	}
	m.clients.begin(s, servant.obey)
	patiently(func() { out.Emit(s) })
}

// leaseOver is closed when nobody was connected to a detached machine for too long.
func (m *machine) leaseOver() <-chan struct{} {
	if m.clients == nil {
		return nil
	}
	return m.clients.expired
}

// bury reaps the VMM, tells whoever is there, and removes the machine. An
// owner who let it go is not told on stdout, a client always is.
func (m *machine) bury(pid int, tell bool, out *event.Stream) error {
	status := m.reap(pid)
	m.console.finish()
	exit := exitOf(status, m.console.String())
	if m.clients != nil {
		m.clients.finish(exit)
		patiently(func() { out.Emit(exit) })
	} else if tell {
		out.Emit(exit)
	}
	return m.remove()
}

// patiently does what may wait for a reader, who need not be there for a
// detached machine any more, but does not wait for it for long.
func patiently(tell func()) {
	told := make(chan struct{})
	go func() {
		defer close(told)
		tell()
	}()
	select {
	case <-told:
	case <-time.After(farewell):
	}
}

func exitOf(status unix.WaitStatus, console string) exited {
	e := exited{Event: "exited", Console: console}
	if status.Signaled() {
		name := unix.SignalName(status.Signal())
		e.Signal = &name
	} else {
		code := status.ExitStatus()
		e.Code = &code
	}
	return e
}
