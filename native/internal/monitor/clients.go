package monitor

import (
	"net"
	"path/filepath"
	"sync"
	"time"

	"pyro/native/internal/event"
)

const (
	// maxClients bounds what whoever connects can make us hold. One is usual, two while one takes over from another.
	maxClients = 16
	// farewell is how long a client that does not read can delay the machine's removal.
	farewell = time.Second
)

// clients are the connections to a detached machine's monitor. Each is told
// what stdout was told, and may send commands; none ends anything by its own
// end, but without any for the time of the lease the machine is over.
type clients struct {
	listener *net.UnixListener
	lease    time.Duration
	// expired is closed when the lease is over.
	expired chan struct{}
	// accepting ends with the listener, served when every client has been told the last event.
	accepting, served sync.WaitGroup

	begun, finished chan struct{}
	first, last     any
	obey            func(*owner, *event.Stream)

	mu    sync.Mutex
	open  int
	timer *time.Timer
}

// listenToClients accepts connections from now on; the lease runs.
func listenToClients(sockets string, lease time.Duration) (*clients, error) {
	path := filepath.Join(sockets, monitorSocket)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	c := &clients{
		listener: listener,
		lease:    lease,
		expired:  make(chan struct{}),
		begun:    make(chan struct{}),
		finished: make(chan struct{}),
	}
	c.timer = time.AfterFunc(lease, c.expire)
	c.accepting.Go(c.accept)
	return c, nil
}

func (c *clients) accept() {
	for {
		conn, err := c.listener.AcceptUnix()
		if err != nil {
			return
		}
		if !c.enter() {
			conn.Close()
			continue
		}
		c.served.Go(func() { c.serve(conn) })
	}
}

// begin tells every client, and those to come, that the VMM runs, and takes their commands.
func (c *clients) begin(first any, obey func(*owner, *event.Stream)) {
	c.first, c.obey = first, obey
	close(c.begun)
}

// finish tells every client how it ended. Their connections stay open until we
// end ourselves: that tells them that nothing of the machine is left.
func (c *clients) finish(last any) {
	c.listener.Close()
	c.accepting.Wait()
	c.timer.Stop()
	c.last = last
	close(c.finished)
	c.served.Wait()
}

func (c *clients) serve(conn *net.UnixConn) {
	out, client := event.NewStream(conn), listenTo(conn)
	select {
	case <-c.begun:
		out.Emit(c.first)
		go c.obey(client, out)
	case <-client.gone:
	case <-c.finished:
	}
	select {
	case <-client.gone:
		conn.Close()
		c.leave()
	case <-c.finished:
		// Also ends an answer that the client does not read.
		conn.SetWriteDeadline(time.Now().Add(farewell))
		out.Emit(c.last)
	}
}

func (c *clients) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == maxClients {
		return false
	}
	c.open++
	c.timer.Stop()
	return true
}

func (c *clients) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.open == 0 {
		c.timer.Reset(c.lease)
	}
}

// renew changes how long the machine lives once the last client has left.
func (c *clients) renew(lease time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lease = lease
}

func (c *clients) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open > 0 {
		return // someone came as the time was up
	}
	select {
	case <-c.expired:
	default:
		close(c.expired)
	}
}
