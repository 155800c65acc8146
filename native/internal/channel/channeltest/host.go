// Package channeltest is the host's end of a channel, for tests.
package channeltest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"

	"pyro/native/gen/pyro/agent/v1/agentv1connect"
	"pyro/native/internal/handshake"
)

// Shake connects as a host does: it repeats its hello, with filler for an agent
// in the middle of a frame, and skips what is no answer to it.
func Shake(conn net.Conn) (net.Conn, error) {
	var nonce handshake.Nonce
	rand.Read(nonce[:])
	frame := func(kind handshake.Kind) []byte { return handshake.Frame{Kind: kind, Nonce: nonce}.Append(nil) }
	echoed := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for round := 1; ; round++ {
			if round%20 == 0 {
				conn.Write(bytes.Repeat([]byte{handshake.Lead}, 17<<10))
			}
			if _, err := conn.Write(frame(handshake.Hello)); err != nil {
				return
			}
			select {
			case <-echoed:
				return
			case <-tick.C:
			}
		}
	})
	in := bufio.NewReaderSize(conn, 64<<10)
	want := frame(handshake.Echo)
	for window := []byte(nil); !bytes.HasSuffix(window, want); {
		b, err := in.ReadByte()
		if err != nil {
			return nil, err
		}
		window = append(window, b)
		window = window[max(0, len(window)-len(want)):]
	}
	close(echoed)
	// Whoever does not read cannot be sure that the hellos leave.
	go func() { sending.Wait(); conn.Write(frame(handshake.Start)) }()
	for {
		next, err := in.Peek(1)
		if err != nil {
			return nil, err
		}
		if next[0] != handshake.Lead {
			return rest{conn, in}, nil
		}
		in.Discard(handshake.Size)
	}
}

type rest struct {
	net.Conn
	in io.Reader
}

func (r rest) Read(p []byte) (int, error) { return r.in.Read(p) }

// Client speaks to the agent over a connection that has shaken hands.
func Client(conn net.Conn) (agentv1connect.AgentClient, error) {
	// What is under way must be less than the agent holds for a follower.
	settings := &http.Transport{HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}}
	transport, err := http2.ConfigureTransports(settings)
	if err != nil {
		return nil, err
	}
	transport.AllowHTTP = true
	session, err := transport.NewClientConn(conn)
	if err != nil {
		return nil, err
	}
	return agentv1connect.NewAgentClient(&http.Client{Transport: session}, "http://agent",
		connect.WithAcceptCompression("gzip", nil, nil)), nil
}
