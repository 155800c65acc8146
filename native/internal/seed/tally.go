package seed

import (
	"context"
	"io"
	"slices"
	"time"

	"pyro/native/internal/event"
)

// interval is the least time between two progress events.
const interval = 200 * time.Millisecond

type progress struct {
	Event   string `json:"event"`
	Bytes   int64  `json:"bytes"`
	Entries int64  `json:"entries"`
}

// tally counts what goes into the image and tells the owner. When nobody
// listens any more the packing is called off.
type tally struct {
	bytes   int64
	entries int64
	skipped []skip

	out    *event.Stream
	cancel context.CancelFunc
	told   time.Time
}

func (t *tally) entry() {
	t.entries++
	t.tell()
}

func (t *tally) changed(path string) {
	t.skipped = append(t.skipped, skip{Path: path, Type: "changed"})
}

// differs tells whether the image is not what the scan saw.
func (t *tally) differs() bool {
	return slices.ContainsFunc(t.skipped, func(s skip) bool { return s.Type == "changed" })
}

func (t *tally) tell() {
	now := time.Now()
	if now.Sub(t.told) < interval {
		return
	}
	t.told = now
	if t.out.Emit(progress{Event: "progress", Bytes: t.bytes, Entries: t.entries}) != nil {
		t.cancel()
	}
}

// count is w with every byte counted.
func (t *tally) count(w io.Writer) io.Writer { return counter{t, w} }

type counter struct {
	tally *tally
	io.Writer
}

func (c counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.tally.bytes += int64(n)
	c.tally.tell()
	return n, err
}
