package process

const (
	// bufferLimit bounds what one stream of an exec may hold, in bytes.
	bufferLimit = 1 << 20
	// replay is how much of what was sent stays held at least, for a follower that
	// comes back because its connection was cut before the bytes arrived. A
	// follower's flow-control window has to be smaller.
	replay = 256 << 10
	// step is how much of what is older makes room at a time.
	step = 64 << 10

	smallestRing = 4 << 10
)

// buffer holds the end of a byte stream: everything that no follower was sent,
// and a window of what was. Positions count from the start of the stream.
type buffer struct {
	// ring has a power of two as its length, or is empty.
	ring       []byte
	start, end uint64
	// sent is where the follower is.
	sent uint64
}

// grab returns room for the next bytes, to be filled before commit, or nil
// while the buffer is full.
func (b *buffer) grab() []byte {
	held := int(b.end - b.start)
	switch {
	case held < len(b.ring):
	case held < bufferLimit:
		b.grow(max(smallestRing, 2*len(b.ring)))
	case b.sent <= b.start+replay:
		return nil
	default:
		b.start += min(step, b.sent-replay-b.start)
		held = int(b.end - b.start)
	}
	from := int(b.end) & (len(b.ring) - 1)
	return b.ring[from : from+min(len(b.ring)-from, len(b.ring)-held)]
}

// commit takes over the first n bytes of what grab returned.
func (b *buffer) commit(n int) { b.end += uint64(n) }

// force appends p whatever the limit.
func (b *buffer) force(p []byte) {
	size := max(smallestRing, len(b.ring))
	for size < int(b.end-b.start)+len(p) {
		size *= 2
	}
	b.grow(size)
	b.put(b.end, p)
	b.end += uint64(len(p))
}

// next copies up to len(p) unsent bytes.
func (b *buffer) next(p []byte) int {
	n := min(len(p), int(b.end-b.sent))
	if n == 0 {
		return 0
	}
	from := int(b.sent) & (len(b.ring) - 1)
	first := copy(p[:n], b.ring[from:])
	copy(p[first:n], b.ring)
	return n
}

func (b *buffer) grow(size int) {
	if size == len(b.ring) {
		return
	}
	old := *b
	b.ring = make([]byte, size)
	if held := int(old.end - old.start); held > 0 {
		from := int(old.start) & (len(old.ring) - 1)
		first := min(held, len(old.ring)-from)
		b.put(old.start, old.ring[from:from+first])
		b.put(old.start+uint64(first), old.ring[:held-first])
	}
}

func (b *buffer) put(at uint64, p []byte) {
	from := int(at) & (len(b.ring) - 1)
	n := copy(b.ring[from:], p)
	copy(b.ring, p[n:])
}
