// Package filelock takes flock(2) locks on paths. A lock belongs to the open
// file: it ends when the last descriptor of it is closed, however its process
// ends.
package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Kind is how a lock is held.
type Kind int

const (
	Shared    Kind = unix.LOCK_SH
	Exclusive Kind = unix.LOCK_EX
)

// Acquire opens path, making the file if needed but not its directory, and
// waits for the lock. busy, if not nil, is called once when somebody else holds
// it. The file that comes back is the one that path names: a lock file that was
// removed while we waited is let go, and the next one is tried.
func Acquire(ctx context.Context, path string, kind Kind, busy func()) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		held, err := Try(file, kind)
		if err == nil && !held {
			if busy != nil {
				busy()
				busy = nil
			}
			err = wait(ctx, file, kind)
		}
		if err != nil {
			file.Close()
			return nil, err
		}
		if Names(path, file) {
			return file, nil
		}
		file.Close()
	}
}

// Create gives a new directory its lock file, named "lock" and held. The file
// has its name only once it is locked, so that nobody ever takes the directory
// for an abandoned one.
func Create(directory string) (*os.File, error) {
	unnamed := filepath.Join(directory, ".lock")
	file, err := os.OpenFile(unnamed, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = Try(file, Exclusive); err == nil {
		err = os.Rename(unnamed, filepath.Join(directory, "lock"))
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Try takes the lock on file if it is free.
func Try(file *os.File, kind Kind) (bool, error) {
	err := flock(file, int(kind)|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// Names tells whether path still leads to file.
func Names(path string, file *os.File) bool {
	ours, err := file.Stat()
	if err != nil {
		return false
	}
	theirs, err := os.Stat(path)
	return err == nil && os.SameFile(ours, theirs)
}

func wait(ctx context.Context, file *os.File, kind Kind) error {
	// A descriptor of its own: flock cannot be called off, and an abandoned
	// wait must not win the lock for a file that the caller has closed.
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "dup", Path: file.Name(), Err: err}
	}
	waiter := os.NewFile(uintptr(fd), file.Name())
	done := make(chan error, 1)
	go func() {
		err := flock(waiter, int(kind))
		if ctx.Err() != nil {
			unix.Flock(fd, unix.LOCK_UN)
		}
		waiter.Close()
		done <- err
	}()
	select {
	case err := <-done:
		if called := ctx.Err(); called != nil {
			return called
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func flock(file *os.File, how int) error {
	for {
		err := unix.Flock(int(file.Fd()), how)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "flock", Path: file.Name(), Err: err}
		}
		return nil
	}
}
