package process

import (
	"context"
	"errors"
)

// chunk is the most that a follower is given at once, in bytes.
const chunk = 64 << 10

var (
	// ErrOutOfRange is about output that is no longer held, or not yet written.
	ErrOutOfRange = errors.New("these bytes of the output are not held")
	// ErrSuperseded ends a follower when another one comes.
	ErrSuperseded = errors.New("another call follows this exec now")
)

// Sink takes a piece of output, which it must not keep.
type Sink func(stream int, offset uint64, data []byte) error

// From is where a follower takes up the output.
type From struct {
	Offsets [streams]uint64
	// Lossy goes on at the oldest byte that is held where those before are not,
	// and begins there, with a piece without data where none is held.
	Lossy bool
}

// Follow gives the output from the given offsets on to the sink, until the
// command has ended and all of it is given.
func (e *Exec) Follow(ctx context.Context, from From, give Sink) (Exit, error) {
	stop := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.changed.Broadcast()
	})
	defer stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	gaps, err := e.take(from)
	if err != nil {
		return Exit{}, err
	}
	e.follower++
	e.changed.Broadcast()
	me := e.follower
	var data []byte
	for _, gap := range gaps {
		if err := e.give(gap, &data, give, me); err != nil {
			return Exit{}, err
		}
	}
	for {
		switch ready := e.ready(); {
		case ctx.Err() != nil:
			return Exit{}, ctx.Err()
		case e.follower != me:
			return Exit{}, ErrSuperseded
		case ready != nil:
			if err := e.give(ready, &data, give, me); err != nil {
				return Exit{}, err
			}
		case e.exit != nil:
			return *e.exit, nil
		default:
			e.changed.Wait()
		}
	}
}

// take sets where the follower is and returns the streams of which it misses bytes.
func (e *Exec) take(from From) (gaps []*stream, err error) {
	for i, offset := range from.Offsets {
		if offset > e.out[i].end || (offset < e.out[i].start && !from.Lossy) {
			return nil, ErrOutOfRange
		}
	}
	for i, offset := range from.Offsets {
		s := &e.out[i]
		s.sent = max(offset, s.start)
		if s.sent > offset {
			gaps = append(gaps, s)
		}
	}
	return gaps, nil
}

func (e *Exec) ready() *stream {
	for i := range e.out {
		if e.out[i].end > e.out[i].sent {
			return &e.out[i]
		}
	}
	return nil
}

// give hands one chunk to the sink, without holding the lock for it.
func (e *Exec) give(s *stream, data *[]byte, give Sink, me int) error {
	size := min(chunk, int(s.end-s.sent))
	if cap(*data) < size {
		*data = make([]byte, size)
	}
	n := s.next((*data)[:size])
	offset := s.sent
	which := Stdout
	if s == &e.out[Stderr] {
		which = Stderr
	}
	e.mu.Unlock()
	err := give(which, offset, (*data)[:n])
	e.mu.Lock()
	if err == nil && e.follower == me {
		s.sent = offset + uint64(n)
		e.changed.Broadcast()
	}
	return err
}
