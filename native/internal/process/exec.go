// Package process runs commands: at most once each, with bounded buffers
// between what they write and who reads it.
package process

import (
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec is a command to run.
type Spec struct {
	ID   string
	Argv []string
	// Env is the whole environment, as KEY=VALUE.
	Env []string
	// Dir is an absolute path in the guest's root.
	Dir string
	// Timeout ends the command's whole group. 0: no limit.
	Timeout time.Duration
	// Stdin is whether the command reads what WriteStdin brings.
	Stdin bool
	// KeepBackground lets go on what a command leaves behind that ended by itself.
	KeepBackground bool
}

// Exit is how a command ended.
type Exit struct {
	// Code is 0..255, 128 + Signal, or 124 for a command that ran out of time.
	Code      int
	Signal    int
	TimedOut  bool
	Duration  time.Duration
	OOMKilled bool
}

const (
	codeTimedOut      = 124
	codeNotExecutable = 126
	codeNotFound      = 127
)

// Streams of an exec.
const (
	Stdout = iota
	Stderr
	streams
)

// Exec is a command that was started.
type Exec struct {
	ID string
	// Pid is the process in its own PID namespace, 0 when there was none.
	Pid int

	pid     int
	group   Group
	born    time.Time
	stdin   *os.File
	readers sync.WaitGroup

	mu      sync.Mutex
	changed sync.Cond
	out     [streams]stream
	// follower counts those who took up the output: the last one has it.
	follower int
	feeding  bool
	// keepBackground is that of the spec.
	keepBackground bool
	running        bool
	ending         bool
	timedOut       bool
	exit           *Exit

	// The table's, once the command has ended.
	delivered bool
	held      int
}

// stream is one end of the command's output.
type stream struct {
	buffer
	pipe *os.File
	fd   int
}

func newExec(id string) *Exec {
	e := &Exec{ID: id}
	e.changed.L = &e.mu
	return e
}

// Signal sends a signal to the command's process group, or to all of its group.
func (e *Exec) Signal(signal unix.Signal, all bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.running {
		return os.ErrProcessDone
	}
	if all {
		return e.group.Signal(signal)
	}
	return unix.Kill(-e.pid, signal)
}

// expire ends a command that ran out of time.
func (e *Exec) expire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running {
		e.timedOut = true
		e.group.Kill()
	}
}

// wait sees the command to its end.
func (e *Exec) wait(pidfd *os.File, limit *time.Timer, ended func(*Exec)) {
	status := e.reap(pidfd)
	exit := Exit{Code: status.ExitStatus(), Duration: time.Since(e.born)}
	pidfd.Close()
	if limit != nil {
		limit.Stop()
	}
	if status.Signaled() {
		exit.Signal = int(status.Signal())
		exit.Code = 128 + exit.Signal
	}
	exit.OOMKilled = e.group.End(e.keepBackground && !e.outOfTime())
	if e.stdin != nil {
		e.stdin.Close()
	}
	e.hurry()
	e.readers.Wait()

	e.mu.Lock()
	if e.timedOut {
		exit.TimedOut, exit.Code = true, codeTimedOut
	}
	e.exit = &exit
	e.changed.Broadcast()
	e.mu.Unlock()
	ended(e)
}

func (e *Exec) outOfTime() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.timedOut
}

// reap waits for the process. Until then its pid cannot become another's, so
// the end and Signal exclude each other.
func (e *Exec) reap(pidfd *os.File) (status syscall.WaitStatus) {
	ended := func(uintptr) bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		pid, err := syscall.Wait4(e.pid, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR || (pid == 0 && err == nil) {
			return false
		}
		e.running = false
		return true
	}
	if raw, err := pidfd.SyscallConn(); err == nil {
		raw.Read(ended)
	}
	return status
}

// hurry makes the readers take what is in the pipes and not wait for more: a
// process outside of the group may hold them open.
func (e *Exec) hurry() {
	e.mu.Lock()
	e.ending = true
	e.changed.Broadcast()
	e.mu.Unlock()
	for i := range e.out {
		e.out[i].pipe.SetReadDeadline(time.Unix(1, 0))
	}
}

// collect fills the buffer of one stream from its pipe.
func (e *Exec) collect(s *stream) {
	defer e.readers.Done()
	defer s.pipe.Close()
	for {
		room := e.room(s)
		if room == nil {
			break
		}
		n, err := s.pipe.Read(room)
		if n > 0 {
			e.mu.Lock()
			s.commit(n)
			e.changed.Broadcast()
			e.mu.Unlock()
			continue
		}
		if !os.IsTimeout(err) {
			return
		}
		break
	}
	left, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ)
	if err != nil || left == 0 {
		return
	}
	rest := make([]byte, left)
	n, _ := unix.Read(s.fd, rest)
	e.mu.Lock()
	s.force(rest[:max(n, 0)])
	e.mu.Unlock()
}

// room waits for room in the buffer. It is nil once the command has ended.
func (e *Exec) room(s *stream) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	for !e.ending {
		if room := s.grab(); room != nil {
			return room
		}
		e.changed.Wait()
	}
	return nil
}
