package process

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// produce offers p and returns how much the buffer took.
func (b *buffer) produce(p []byte) (n int) {
	for n < len(p) {
		room := b.grab()
		if room == nil {
			break
		}
		step := copy(room, p[n:])
		b.commit(step)
		n += step
	}
	return n
}

func (b *buffer) consume(n int) []byte {
	p := make([]byte, n)
	p = p[:b.next(p)]
	b.sent += uint64(len(p))
	return p
}

func pattern(from uint64, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		at := from + uint64(i)
		p[i] = byte(at ^ at>>8 ^ at>>16)
	}
	return p
}

func TestNothingIsDroppedWhateverTheRhythm(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var b buffer
	var produced, consumed uint64
	for consumed < 50<<20 {
		produced += uint64(b.produce(pattern(produced, random.IntN(200<<10))))
		got := b.consume(random.IntN(200 << 10))
		if !bytes.Equal(got, pattern(consumed, len(got))) {
			t.Fatal("wrong bytes at ", consumed)
		}
		consumed += uint64(len(got))
		if len(b.ring) > bufferLimit || b.end-b.start > bufferLimit {
			t.Fatal(len(b.ring), " bytes are held")
		}
	}
}

func TestAFullBufferHoldsTheWriter(t *testing.T) {
	var b buffer
	if n := b.produce(make([]byte, 2*bufferLimit)); n != bufferLimit || b.grab() != nil {
		t.Fatal(n)
	}
	b.consume(replay)
	if b.grab() != nil {
		t.Fatal("the replay window was given up")
	}
	b.consume(1000)
	if n := b.produce(make([]byte, bufferLimit)); n != 1000 {
		t.Fatal(n)
	}
}

func TestWhatWasSentCanBeSentAgain(t *testing.T) {
	var b buffer
	for at := uint64(0); at < 5<<20; {
		at += uint64(b.produce(pattern(at, 100_000)))
		b.consume(100_000)
	}
	b.sent -= replay - 100_000
	at := b.sent
	if at < b.start {
		t.Fatal("held from ", b.start, ", not ", at)
	}
	if got := b.consume(1 << 20); !bytes.Equal(got, pattern(at, int(b.end-at))) {
		t.Fatal("wrong bytes")
	}
}

func TestTheLastBytesAreTakenBeyondTheLimit(t *testing.T) {
	var b buffer
	b.produce(pattern(0, bufferLimit))
	b.force(pattern(bufferLimit, 70_000))
	if got := b.consume(2 << 20); !bytes.Equal(got, pattern(0, bufferLimit+70_000)) {
		t.Fatal(len(got))
	}
}

func TestASmallOutputTakesLittle(t *testing.T) {
	var b buffer
	b.produce([]byte("hello"))
	if len(b.ring) != smallestRing {
		t.Fatal(len(b.ring))
	}
}
