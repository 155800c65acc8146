package beneath

import (
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// EnsureWorkingDirectory checks that an absolute path is a directory of the
// tree whose root is given, and makes one that is missing below /workspace.
func EnsureWorkingDirectory(root int, dir string) error {
	if !path.IsAbs(dir) {
		return ErrRelative
	}
	base, err := Open(root, "/")
	if err != nil {
		return err
	}
	defer base.Close()
	fd, err := base.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil && os.IsNotExist(err) && strings.HasPrefix(path.Clean(dir)+"/", "/workspace/") {
		fd, err = base.Directory(dir)
	}
	if err != nil {
		return err
	}
	return unix.Close(fd)
}
