package handshake

import (
	"bytes"
	"testing"
)

var hello = Frame{Kind: Hello, Nonce: Nonce{1, 2, 3, 0xff}}

func TestFrameIsFoundBehindStaleBytes(t *testing.T) {
	for _, stale := range [][]byte{
		nil, []byte("half an HTTP/2 frame"), bytes.Repeat([]byte{Lead}, 17<<10),
		hello.Append(nil)[:20], append(bytes.Repeat([]byte{Lead}, 12), "pyro/0"...),
	} {
		stream := hello.Append(hello.Append(bytes.Clone(stale)))
		var last Frame
		for n, found := 0, true; found; {
			var f Frame
			if f, n, found = Scan(stream); found {
				last = f
			}
			stream = stream[n:]
		}
		if last != hello {
			t.Errorf("behind %d stale bytes: %v", len(stale), last)
		}
	}
}

func TestFrameIsFoundHoweverItIsCut(t *testing.T) {
	stream := hello.Append([]byte("garbage\xff\xff"))
	for cut := range stream {
		held := bytes.Clone(stream[:cut])
		_, n, found := Scan(held)
		if found {
			t.Fatalf("found in the first %d bytes", cut)
		}
		if f, _, found := Scan(append(held[n:], stream[cut:]...)); !found || f != hello {
			t.Errorf("cut at %d: %v %v", cut, found, f)
		}
	}
}

func TestFrameLeadIsNoHTTP2FrameOfAllowedLength(t *testing.T) {
	b := hello.Append(nil)
	if length := int(b[0])<<16 | int(b[1])<<8 | int(b[2]); length != 1<<24-1 || len(b) != Size {
		t.Fatal(length, len(b))
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("garbage"), hello.Append(nil))
	f.Add(bytes.Repeat([]byte{Lead}, 40), hello.Append(nil)[:31])
	f.Fuzz(func(t *testing.T, a, b []byte) {
		held := append(bytes.Clone(a), b...)
		for {
			frame, n, found := Scan(held)
			if n < 0 || n > len(held) || (found && n < Size) {
				t.Fatalf("%d of %d bytes", n, len(held))
			}
			if !found {
				if len(held)-n >= Size {
					t.Fatal("more is held than a frame")
				}
				break
			}
			if frame.Kind != Hello && frame.Kind != Echo && frame.Kind != Start {
				t.Fatal(frame)
			}
			held = held[n:]
		}
	})
}
