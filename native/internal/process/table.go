package process

import (
	"context"
	"errors"
	"hash/maphash"
	"regexp"
	"sync"
)

const (
	// keptRecords is how many ended execs can still be followed.
	keptRecords = 256
	// keptBytes bounds the output held for ended execs whose exit was delivered.
	keptBytes = 4 << 20
	// keptUndelivered bounds the output held for all ended execs.
	keptUndelivered = 64 << 20
)

var (
	// ErrSeen refuses an id for the second time.
	ErrSeen = errors.New("this exec id was used before")
	// ErrUnknown is about an id that no held exec has.
	ErrUnknown = errors.New("no such exec")
	// ErrBadID refuses an id.
	ErrBadID = errors.New("an exec id is 1 to 64 of [0-9a-zA-Z_-]")
	// ErrNoCommand refuses an empty argv.
	ErrNoCommand = errors.New("argv is empty")
)

var goodID = regexp.MustCompile(`^[0-9a-zA-Z_-]{1,64}$`)

// Table holds the execs of a machine.
type Table struct {
	seed maphash.Seed

	mu sync.Mutex
	// seen remembers ids by their hash: a machine may run for months.
	seen  map[uint64]struct{}
	execs map[string]*Exec
	// ended is in the order in which they ended.
	ended []*Exec
	// held is the sum of what those hold, in bytes.
	held int
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}, execs: map[string]*Exec{}}
}

// Forget empties the table.
func (t *Table) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.seen)
	clear(t.execs)
	t.ended, t.held = nil, 0
}

// Start runs a command.
func (t *Table) Start(place Place, spec Spec) (*Exec, error) {
	switch {
	case !goodID.MatchString(spec.ID):
		return nil, ErrBadID
	case len(spec.Argv) == 0:
		return nil, ErrNoCommand
	}
	hash := maphash.String(t.seed, spec.ID)
	t.mu.Lock()
	_, seen := t.seen[hash]
	t.seen[hash] = struct{}{}
	t.mu.Unlock()
	if seen {
		return nil, ErrSeen
	}
	e, err := start(place, spec, t.retire)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		delete(t.seen, hash)
		return nil, err
	}
	t.execs[spec.ID] = e
	return e, nil
}

// Find returns an exec that runs, or one of the last that have ended.
func (t *Table) Find(id string) (*Exec, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, found := t.execs[id]; found {
		return e, nil
	}
	return nil, ErrUnknown
}

// Follow is Exec.Follow; once it has delivered an exit, the exec's output is
// held only as long as there is room for it.
func (t *Table) Follow(ctx context.Context, e *Exec, from From, give Sink) (Exit, error) {
	exit, err := e.Follow(ctx, from, give)
	if err == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		e.delivered = true
		t.bound()
	}
	return exit, err
}

// retire counts an exec among those that have ended.
func (t *Table) retire(e *Exec) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = append(t.ended, e)
	e.held = e.hold()
	t.held += e.held
	if len(t.ended) > keptRecords {
		oldest := t.ended[0]
		t.held -= oldest.held
		delete(t.execs, oldest.ID)
		t.ended[0] = nil
		t.ended = t.ended[1:]
	}
	t.bound()
}

// bound gives up the oldest output: first what was delivered, then any.
func (t *Table) bound() {
	for _, step := range []struct {
		limit     int
		delivered bool
	}{{keptBytes, true}, {keptUndelivered, false}} {
		for i := 0; i < len(t.ended) && t.held > step.limit; i++ {
			if e := t.ended[i]; e.held > 0 && (e.delivered || !step.delivered) {
				e.release()
				t.held -= e.held
				e.held = 0
			}
		}
	}
}

// hold lets go of empty buffers and returns how much the others take.
func (e *Exec) hold() (held int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.out {
		if e.out[i].end == 0 {
			e.out[i].ring = nil
		}
		held += len(e.out[i].ring)
	}
	return held
}

func (e *Exec) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.out {
		e.out[i].start, e.out[i].ring = e.out[i].end, nil
	}
}
