package monitor

import (
	"strings"
	"sync"
)

// ring keeps the last bytes that were written to it.
type ring struct {
	mu   sync.Mutex
	data []byte
	next int
	full bool
}

func newRing(size int) *ring { return &ring{data: make([]byte, size)} }

func (r *ring) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	written := len(p)
	if len(r.data) == 0 {
		return written, nil
	}
	if len(p) > len(r.data) {
		p = p[len(p)-len(r.data):]
	}
	for len(p) > 0 {
		n := copy(r.data[r.next:], p)
		p = p[n:]
		r.next += n
		if r.next == len(r.data) {
			r.next, r.full = 0, true
		}
	}
	return written, nil
}

// String is what the ring holds, with replacement characters for what is no UTF-8.
func (r *ring) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var text strings.Builder
	if r.full {
		text.Write(r.data[r.next:])
	}
	text.Write(r.data[:r.next])
	return strings.ToValidUTF8(text.String(), "\uFFFD")
}
