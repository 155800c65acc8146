package process

import (
	"errors"
	"slices"
	"testing"
)

type piece struct {
	stream int
	offset uint64
	data   string
}

func follow(t *testing.T, e *Exec, from From) (pieces []piece, err error) {
	_, err = e.Follow(t.Context(), from, func(stream int, offset uint64, data []byte) error {
		pieces = append(pieces, piece{stream, offset, string(data)})
		return nil
	})
	return pieces, err
}

func TestALossyFollowerBeginsAtTheOldestByteThatIsHeld(t *testing.T) {
	e := newExec("ended")
	e.exit = &Exit{}
	e.out[Stdout].start, e.out[Stdout].end = 10, 10
	e.out[Stdout].force([]byte("held"))
	// Of this stream nothing is held any more.
	e.out[Stderr].start, e.out[Stderr].end = 7, 7
	for range 2 {
		found, err := follow(t, e, From{Lossy: true})
		want := []piece{{Stdout, 10, "held"}, {Stderr, 7, ""}}
		if err != nil || !slices.Equal(found, want) {
			t.Fatal(found, err)
		}
	}
	found, err := follow(t, e, From{Offsets: [streams]uint64{12, 7}, Lossy: true})
	if err != nil || !slices.Equal(found, []piece{{Stdout, 12, "ld"}}) {
		t.Fatal(found, err)
	}
	for _, from := range []From{{}, {Offsets: [streams]uint64{14, 6}}, {Offsets: [streams]uint64{15, 7}, Lossy: true}} {
		if _, err := follow(t, e, from); !errors.Is(err, ErrOutOfRange) {
			t.Fatal(from, err)
		}
	}
}
