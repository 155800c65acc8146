package channel_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"

	"pyro/native/internal/channel"
	"pyro/native/internal/channel/channeltest"
)

// agent serves the other end of the returned connection. Its sessions say
// hello, tell what they receive, and end with their connection.
func agent(t *testing.T) (host net.Conn, sessions <-chan []byte) {
	host, guest := net.Pipe()
	received := make(chan []byte, 16)
	served := make(chan struct{})
	go func() {
		defer close(served)
		channel.Serve(guest, func(conn net.Conn) {
			defer conn.Close()
			conn.Write([]byte("hello"))
			all, _ := io.ReadAll(conn)
			received <- all
		})
	}()
	t.Cleanup(func() { host.Close(); guest.Close(); <-served })
	return host, received
}

func connect(t *testing.T, host net.Conn) net.Conn {
	t.Helper()
	conn, err := channeltest.Shake(host)
	if err != nil {
		t.Fatal(err)
	}
	greeting := make([]byte, 5)
	if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "hello" {
		t.Fatal(string(greeting), err)
	}
	return conn
}

func send(t *testing.T, conn net.Conn, b []byte) {
	t.Helper()
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// frames are a client's preface and one frame of each size.
func frames(sizes ...int) []byte {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&b, nil)
	for _, size := range sizes {
		framer.WriteData(1, false, make([]byte, size))
	}
	return b.Bytes()
}

func TestSessionReceivesExactlyWhatFollowsTheHandshake(t *testing.T) {
	host, sessions := agent(t)
	conn := connect(t, host)
	sent := frames(0, 1, 9, 100, channel.MaxFrame)
	send(t, conn, sent)
	host.Close()
	if got := <-sessions; !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes of %d", len(got), len(sent))
	}
}

func TestReconnectAtEveryPointOfASession(t *testing.T) {
	whole := frames(0, 20, 3)
	for cut := range whole {
		host, sessions := agent(t)
		send(t, connect(t, host), whole[:cut])
		send(t, connect(t, host), whole)
		if first := <-sessions; !bytes.HasPrefix(first, whole[:cut]) {
			t.Fatalf("cut at %d: the first session received %q", cut, first)
		}
		host.Close()
		if second := <-sessions; !bytes.Equal(second, whole) {
			t.Fatalf("cut at %d: the second session received %q", cut, second)
		}
	}
}

func TestReconnectInTheMiddleOfTheLargestFrame(t *testing.T) {
	host, sessions := agent(t)
	send(t, connect(t, host), frames(channel.MaxFrame)[:60])
	connect(t, host)
	<-sessions
}

func TestFrameBeyondTheLimitEndsTheSession(t *testing.T) {
	host, sessions := agent(t)
	send(t, connect(t, host), append(frames(), 0, 0x40, 1))
	if got := <-sessions; len(got) != len(http2.ClientPreface)+2 {
		t.Fatalf("%q", got)
	}
	connect(t, host)
}

func TestAnyGarbageIsSurvived(t *testing.T) {
	host, sessions := agent(t)
	go func() {
		for range sessions {
		}
	}()
	for range 50 {
		garbage := make([]byte, 3000)
		rand.Read(garbage)
		send(t, host, garbage)
		send(t, connect(t, host), garbage[:100])
	}
}

func FuzzSession(f *testing.F) {
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x04\x08\x00"))
	f.Add(frames(5, 6)[:50])
	f.Fuzz(func(t *testing.T, garbage []byte) {
		host, sessions := agent(t)
		go func() {
			for range sessions {
			}
		}()
		send(t, connect(t, host), garbage)
		connect(t, host)
	})
}
