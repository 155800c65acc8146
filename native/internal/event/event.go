// Package event is the wire format of pyro-host's standard output: one JSON
// object a line, and errors that carry a code a program can branch on.
package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"
)

// Stream writes events, each a whole line, from any goroutine.
type Stream struct {
	mu  sync.Mutex
	enc *json.Encoder
}

// NewStream writes events to w.
func NewStream(w io.Writer) *Stream {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &Stream{enc: enc}
}

// Emit writes one event. An error means that nobody reads any more.
func (s *Stream) Emit(v any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enc.Encode(v)
}

// Name is an event that says nothing but its name.
type Name struct {
	Event string `json:"event"`
}

// Error is a failure with a code of the protocol.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Failure is the event that ends a subcommand which failed.
type Failure struct {
	Event   string `json:"event"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// FailureOf is the event for err.
func FailureOf(err error) Failure {
	return Failure{Event: "error", Code: Code(err), Message: err.Error()}
}

var codes = []struct {
	cause error
	code  string
}{
	{unix.ENOSPC, "no_space"},
	{unix.EDQUOT, "no_space"},
	{unix.EROFS, "not_writable"},
	{fs.ErrPermission, "not_writable"},
	{fs.ErrExist, "exists"},
	{fs.ErrNotExist, "not_found"},
}

// Code is the protocol's code for err, "failed" when it has none of its own.
func Code(err error) string {
	var coded *Error
	if errors.As(err, &coded) {
		return coded.Code
	}
	for _, c := range codes {
		if errors.Is(err, c.cause) {
			return c.code
		}
	}
	return "failed"
}
