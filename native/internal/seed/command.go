package seed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/event"
)

type result struct {
	Event string `json:"event"`
	Path  string `json:"path"`
	manifest
	Cached bool `json:"cached"`
}

// content is a source that was looked at and can be packed.
type content interface {
	key(virtualSize int64) string
	packInto(ctx context.Context, path string, tally *tally) error
}

// Command is `pyro-host seed`.
func Command(stdin io.Reader, out *event.Stream) error {
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer cancel()
	// An answer that nobody reads any more must not end us before the workshop is removed.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)

	spec, err := readSpec(stdin)
	if err != nil {
		return err
	}
	source, err := open(spec.Source)
	if err != nil {
		return err
	}
	key := source.key(spec.VirtualSize)
	if known, ok := cached(spec.Cache, key); ok {
		return tell(out, spec.Cache, known, true)
	}
	made, wasCached, err := build(ctx, cancel, spec, source, key, out)
	if err != nil {
		return err
	}
	return tell(out, spec.Cache, made, wasCached)
}

func open(source Source) (content, error) {
	if source.Kind == "archive" {
		return statArchive(source.Path)
	}
	return scanDirectory(source)
}

func tell(out *event.Stream, cache string, m *manifest, cached bool) error {
	return out.Emit(result{Event: "seed", Path: filepath.Join(cache, m.Key, imageName), manifest: *m, Cached: cached})
}

// build packs a source that the cache does not have.
func build(ctx context.Context, cancel context.CancelFunc, spec *Spec, source content, key string, out *event.Stream) (*manifest, bool, error) {
	workshop, err := openWorkshop(spec.Cache)
	if err != nil {
		return nil, false, err
	}
	published := false
	defer func() {
		if published {
			workshop.lock.Close()
		} else {
			workshop.close()
		}
	}()
	tally := &tally{out: out, cancel: cancel, told: time.Now()}
	if err := source.packInto(ctx, workshop.image(), tally); err != nil {
		return nil, false, err
	}
	m := &manifest{Key: key, EntryCount: tally.entries, BytesWritten: tally.bytes, Skipped: tally.skipped}
	if m.Skipped == nil {
		m.Skipped = []skip{}
	}
	if tally.differs() {
		m.Key = oneOff(key, workshop)
	}
	if err := workshop.seal(m, spec.VirtualSize); err != nil {
		return nil, false, err
	}
	known, cached, err := workshop.publish(spec.Cache, m)
	published = err == nil && !cached
	return known, cached, err
}

// oneOff is the key of an image whose source changed while it was packed. No
// scan ever yields it: the image serves this once.
func oneOff(key string, w *workshop) string {
	sum := sha256.Sum256([]byte(key + "\x00" + filepath.Base(w.path)))
	return hex.EncodeToString(sum[:])
}

func (s *scan) packInto(ctx context.Context, path string, tally *tally) error {
	defer s.root.Close()
	tally.skipped = append(tally.skipped, s.skipped...)
	image, err := startImage(ctx, path, s.mode, s.newest())
	if err != nil {
		return err
	}
	return image.finish(ctx, s.pack(image, tally))
}

// archiveRoot is the mode of the root directory, which archives often do not hold.
const archiveRoot = 0o755

func (a *archive) packInto(ctx context.Context, path string, tally *tally) error {
	err := a.try(ctx, path, tally, nil)
	if errors.Is(err, errReplaced) {
		tally.bytes, tally.entries, tally.skipped = 0, 0, nil
		var last map[string]int
		if last, err = a.lastMembers(); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		err = a.try(ctx, path, tally, last)
	}
	if err == nil && !a.unchanged() {
		err = event.Errorf("changed", "%s changed while it was read", a.path)
	}
	return err
}

func (a *archive) try(ctx context.Context, path string, tally *tally, last map[string]int) error {
	image, err := startImage(ctx, path, archiveRoot, timeOf(a.info.ModTime().UnixNano()).Unix())
	if err != nil {
		return err
	}
	return image.finish(ctx, a.pack(image, tally, last))
}
