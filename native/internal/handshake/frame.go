// Package handshake is the frame that both ends of a fresh channel exchange
// before HTTP/2 begins on it. A channel may hold bytes of a connection that is
// gone, so a frame is recognisable anywhere in a stream.
package handshake

import "bytes"

// Size is the length of a frame.
const Size = 9 + 6 + 1 + 16

// Lead opens every frame. As an HTTP/2 frame header it would announce a frame
// of 16 MiB - 1, more than either end accepts.
const Lead = 0xff

// magic opens every frame. It is a function's result because a constant would
// place the byte sequence in the program itself.
var magic = append(bytes.Repeat([]byte{Lead}, 9), "pyro/1"...)

// Kind says what a frame means.
type Kind byte

const (
	// Hello comes from the host, again and again until it is echoed.
	Hello Kind = 'H'
	// Echo is the agent's answer to each Hello, with the same nonce.
	Echo Kind = 'E'
	// Start comes from the host once: HTTP/2 follows.
	Start Kind = 'S'
)

// Nonce tells one attempt to connect from all others.
type Nonce [16]byte

// Frame is one message of the handshake.
type Frame struct {
	Kind  Kind
	Nonce Nonce
}

// Append adds the frame's bytes to b.
func (f Frame) Append(b []byte) []byte {
	b = append(b, magic...)
	b = append(b, byte(f.Kind))
	return append(b, f.Nonce[:]...)
}

// Scan looks for the first frame in b. It returns how many bytes of b are
// done with, whether or not a frame was found; the rest may be the beginning
// of one.
func Scan(b []byte) (f Frame, n int, found bool) {
	for {
		i := bytes.Index(b[n:], magic)
		if i < 0 {
			return Frame{}, max(n, len(b)-len(magic)+1), false
		}
		n += i
		if len(b)-n < Size {
			return Frame{}, n, false
		}
		kind := Kind(b[n+len(magic)])
		if kind == Hello || kind == Echo || kind == Start {
			f.Kind = kind
			copy(f.Nonce[:], b[n+len(magic)+1:])
			return f, n + Size, true
		}
		n += len(magic)
	}
}
