package process

import (
	"errors"
)

var (
	// ErrNoStdin is about a command that was started without stdin.
	ErrNoStdin = errors.New("the exec was started without stdin")
	// ErrFeeding says that another call writes to the command's stdin.
	ErrFeeding = errors.New("another call feeds this exec")
)

// Feed is the writing end of a command's stdin. One call has it at a time.
type Feed struct{ exec *Exec }

// Feed takes the stdin of the command.
func (e *Exec) Feed() (Feed, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.stdin == nil:
		return Feed{}, ErrNoStdin
	case e.feeding:
		return Feed{}, ErrFeeding
	}
	e.feeding = true
	return Feed{e}, nil
}

// Write fails once the command has closed its end or is gone.
func (f Feed) Write(p []byte) (int, error) { return f.exec.stdin.Write(p) }

// End lets the command see the end of its input.
func (f Feed) End() { f.exec.stdin.Close() }

// Release leaves the input open for another call to go on.
func (f Feed) Release() {
	f.exec.mu.Lock()
	defer f.exec.mu.Unlock()
	f.exec.feeding = false
}
