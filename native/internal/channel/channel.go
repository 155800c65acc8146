// Package channel turns one byte channel from the host, over which one host
// after another may speak, into HTTP/2 sessions.
package channel

import (
	"errors"
	"io"
	"net"
	"time"

	"pyro/native/internal/handshake"
)

// Port is a byte channel to the host. A Read that fails with ErrHangup may be
// repeated: it then waits for the next host. Any other failure is the end.
type Port interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// ErrHangup says that the host has left the port.
var ErrHangup = errors.New("the host hung up")

// input holds what was read from the port and belongs to nobody yet.
type input struct {
	port Port
	held []byte
	room [32 << 10]byte
}

func (in *input) fill() error {
	if len(in.held) == len(in.room) {
		return errors.New("the input buffer is full")
	}
	if cap(in.held) == 0 || len(in.held) == 0 {
		in.held = in.room[:0]
	} else if &in.held[0] != &in.room[0] {
		in.held = in.room[:copy(in.room[:], in.held)]
	}
	n, err := in.port.Read(in.room[len(in.held):])
	in.held = in.room[:len(in.held)+n]
	if n > 0 {
		return nil
	}
	return err
}

func (in *input) drop(n int) { in.held = in.held[n:] }

// Serve shakes hands with each host that comes and gives its connection to
// session, one at a time, until the port fails.
func Serve(port Port, session func(net.Conn)) error {
	in := &input{port: port}
	for {
		switch err := shake(in); {
		case errors.Is(err, ErrHangup):
			in.held = nil
			continue
		case err != nil:
			return err
		}
		conn := &conn{in: in}
		session(conn)
		conn.finish()
	}
}

// shake returns once a host has been answered and has started.
func shake(in *input) error {
	var echoed *handshake.Nonce
	for {
		frame, n, found := handshake.Scan(in.held)
		in.drop(n)
		switch {
		case !found:
			if err := in.fill(); err != nil {
				return err
			}
		case frame.Kind == handshake.Hello:
			echo := handshake.Frame{Kind: handshake.Echo, Nonce: frame.Nonce}
			if _, err := in.port.Write(echo.Append(nil)); err != nil {
				return err
			}
			echoed = &frame.Nonce
		case frame.Kind == handshake.Start && echoed != nil && *echoed == frame.Nonce:
			return nil
		}
	}
}
