package monitor

import (
	"strings"
	"testing"
)

func TestTheRingKeepsTheLastBytes(t *testing.T) {
	for _, size := range []int{0, 1, 7, 64} {
		r := newRing(size)
		all := ""
		for i := range 40 {
			piece := strings.Repeat(string(rune('a'+i%26)), i)
			r.Write([]byte(piece))
			all += piece
			if want := all[max(0, len(all)-size):]; r.String() != want {
				t.Fatalf("ring of %d: %q, want %q", size, r.String(), want)
			}
		}
	}
}
