package reap

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Remove is os.RemoveAll for a tree that may hold directories which their
// owner cannot write to, as a cache of Go's modules does.
func Remove(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	filepath.WalkDir(path, func(name string, entry fs.DirEntry, _ error) error {
		if entry != nil && entry.IsDir() {
			os.Chmod(name, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}
