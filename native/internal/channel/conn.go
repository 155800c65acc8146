package channel

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one host's session on a port. Its end leaves the port open and what
// follows the session in the input unread.
type conn struct {
	in      *input
	closed  atomic.Bool
	reading sync.Mutex
	writing sync.Mutex
	at      boundary
}

var past = time.Unix(1, 0)

func (c *conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	if len(c.in.held) == 0 {
		if err := c.in.fill(); err != nil {
			return 0, io.EOF
		}
	}
	ready := c.in.held[:min(len(p), len(c.in.held))]
	n, ok := c.at.advance(ready)
	copy(p, ready[:n])
	c.in.drop(n)
	if !ok && n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	return c.in.port.Write(p)
}

// Close ends the session: a Read or Write that waits returns.
func (c *conn) Close() error {
	if !c.closed.Swap(true) {
		c.in.port.SetReadDeadline(past)
		c.in.port.SetWriteDeadline(past)
	}
	return nil
}

// finish returns once nothing of the session can touch the port any more.
func (c *conn) finish() {
	c.Close()
	c.reading.Lock()
	defer c.reading.Unlock()
	c.writing.Lock()
	defer c.writing.Unlock()
	c.in.port.SetReadDeadline(time.Time{})
	c.in.port.SetWriteDeadline(time.Time{})
}

func (c *conn) LocalAddr() net.Addr                { return addr{} }
func (c *conn) RemoteAddr() net.Addr               { return addr{} }
func (c *conn) SetDeadline(t time.Time) error      { return nil }
func (c *conn) SetReadDeadline(t time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { return nil }

type addr struct{}

func (addr) Network() string { return "pyro" }
func (addr) String() string  { return "host" }
