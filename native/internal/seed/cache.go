package seed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/event"
	"pyro/native/internal/filelock"
	"pyro/native/internal/reap"
)

const (
	imageName    = "seed.img"
	manifestName = "seed.json"
	partial      = ".partial-"
)

// manifest is seed.json: what is known of an image.
type manifest struct {
	Key string `json:"key"`
	// Digest is the sha256 of the squashfs, without the padding to the virtual size.
	Digest string `json:"digest"`
	// ImageBytes is the size of the squashfs, without the padding.
	ImageBytes int64 `json:"image_bytes"`
	EntryCount int64 `json:"entry_count"`
	// BytesWritten is the sum of the sizes of the files in it.
	BytesWritten int64  `json:"bytes_written"`
	Skipped      []skip `json:"skipped"`
}

// cached is the manifest of a finished image, which counts as used now.
func cached(cache, key string) (*manifest, bool) {
	directory := filepath.Join(cache, key)
	data, err := os.ReadFile(filepath.Join(directory, manifestName))
	if err != nil {
		return nil, false
	}
	known := &manifest{}
	if json.Unmarshal(data, known) != nil || known.Key != key {
		return nil, false
	}
	info, err := os.Stat(filepath.Join(directory, imageName))
	if err != nil || info.Size() < known.ImageBytes {
		return nil, false
	}
	now := time.Now()
	os.Chtimes(filepath.Join(directory, manifestName), now, now)
	return known, true
}

// workshop is a directory in which an image is made, before it has its name.
type workshop struct {
	path string
	lock *os.File
}

// openWorkshop makes a workshop, and removes those of packers that were killed.
func openWorkshop(cache string) (*workshop, error) {
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, err
	}
	clearAbandoned(cache)
	path, err := os.MkdirTemp(cache, partial+"*")
	if err != nil {
		return nil, err
	}
	w := &workshop{path: path}
	if w.lock, err = filelock.Create(path); err != nil {
		os.RemoveAll(path)
		return nil, err
	}
	return w, nil
}

func clearAbandoned(cache string) {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), partial) || strings.HasPrefix(entry.Name(), reap.Aside) {
			reap.Directory(filepath.Join(cache, entry.Name()))
		}
	}
}

func (w *workshop) image() string { return filepath.Join(w.path, imageName) }

// close removes the workshop, unless it was published.
func (w *workshop) close() {
	os.RemoveAll(w.path)
	w.lock.Close()
}

// seal digests the image, pads it to its virtual size and writes both it and its manifest to the disk.
func (w *workshop) seal(m *manifest, virtualSize int64) error {
	image, err := os.OpenFile(w.image(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer image.Close()
	hash := sha256.New()
	if m.ImageBytes, err = io.Copy(hash, image); err != nil {
		return err
	}
	m.Digest = hex.EncodeToString(hash.Sum(nil))
	if virtualSize > 0 && m.ImageBytes > virtualSize {
		return event.Errorf("too_large", "the seed takes %d bytes, its drive has %d", m.ImageBytes, virtualSize)
	}
	if virtualSize > 0 {
		if err := image.Truncate(virtualSize); err != nil {
			return err
		}
	}
	if err := errors.Join(image.Chmod(0o400), image.Sync()); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(w.path, manifestName), append(data, '\n'))
}

// publish gives the workshop its name in the cache. Of two packers of one key
// the second takes what the first has made.
func (w *workshop) publish(cache string, m *manifest) (result *manifest, cachedNow bool, err error) {
	if err := syncDirectory(w.path); err != nil {
		return nil, false, err
	}
	target := filepath.Join(cache, m.Key)
	for range 3 {
		err = os.Rename(w.path, target)
		if err == nil {
			w.path = target
			return m, false, syncDirectory(cache)
		}
		if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, fs.ErrExist) {
			return nil, false, err
		}
		if known, ok := cached(cache, m.Key); ok {
			return known, true, nil
		}
		// Somebody has damaged it; a machine that still maps it keeps its file.
		condemned := filepath.Join(cache, reap.Aside+filepath.Base(w.path))
		if os.Rename(target, condemned) == nil {
			os.RemoveAll(condemned)
		}
	}
	return nil, false, err
}

func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}
