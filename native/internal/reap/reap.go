// Package reap removes directories whose owner is gone: those with a file
// named "lock" that nobody holds.
package reap

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pyro/native/internal/event"
	"pyro/native/internal/filelock"
)

// grace is how old a directory without a lock file must be: a younger one may be in the making.
const grace = 60 * time.Second

// Aside begins the name of a directory that was condemned; one left over is removed by the next reap.
const Aside = ".reaped-"

type reaped struct {
	Event string `json:"event"`
	Path  string `json:"path"`
}

// Command is `pyro-host reap DIR...`. A DIR with a lock file of its own is
// examined itself, any other one's subdirectories are. A DIR that does not
// exist has nothing to reap.
func Command(args []string, out *event.Stream) error {
	if len(args) == 0 {
		return event.Errorf("usage", "reap takes one or more directories")
	}
	var failures []error
	for _, dir := range args {
		candidates, err := list(dir)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		for _, path := range candidates {
			removed, err := Directory(path)
			if err != nil {
				failures = append(failures, err)
			}
			if removed {
				out.Emit(reaped{Event: "reaped", Path: path})
			}
		}
	}
	return errors.Join(failures...)
}

func list(dir string) ([]string, error) {
	if _, err := os.Lstat(filepath.Join(dir, "lock")); err == nil {
		return []string{dir}, nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []string
	for _, entry := range entries {
		if entry.IsDir() {
			found = append(found, filepath.Join(dir, entry.Name()))
		}
	}
	return found, err
}

// Directory removes path if nobody owns it, and tells whether it did.
func Directory(path string) (bool, error) {
	parent, name := filepath.Split(filepath.Clean(path))
	if strings.HasPrefix(name, Aside) {
		return false, Remove(path)
	}
	lock, abandoned, err := claim(path)
	if lock != nil {
		defer lock.Close()
	}
	if err != nil || !abandoned {
		return false, err
	}
	var unique [6]byte
	rand.Read(unique[:])
	condemned := filepath.Join(parent, Aside+name+"-"+hex.EncodeToString(unique[:]))
	if err := os.Rename(path, condemned); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	return true, Remove(condemned)
}

// claim takes the directory's lock. The lock is nil for a directory that never had one.
func claim(path string) (lock *os.File, abandoned bool, err error) {
	name := filepath.Join(path, "lock")
	lock, err = os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		info, err := os.Stat(path)
		if err != nil {
			return nil, false, ignoreGone(err)
		}
		return nil, time.Since(info.ModTime()) > grace, nil
	}
	if err != nil {
		return nil, false, err
	}
	free, err := filelock.Try(lock, filelock.Exclusive)
	return lock, free && filelock.Names(name, lock), err
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
