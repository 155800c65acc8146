// Package mounts makes file systems: the ones a guest needs to boot, the
// overlays of a workspace and the subvolumes of its disk.
package mounts

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Mount is one mount(2).
type Mount struct {
	Source, Target, Type string
	Flags                uintptr
	Options              string
}

// Do makes the mount point, when it is missing, and mounts.
func (m Mount) Do() error {
	if err := unix.Mkdir(m.Target, 0o755); err != nil && err != unix.EEXIST && err != unix.EROFS {
		return &os.PathError{Op: "mkdir", Path: m.Target, Err: err}
	}
	if err := unix.Mount(m.Source, m.Target, m.Type, m.Flags, m.Options); err != nil {
		return fmt.Errorf("mount %s (%s) at %s: %w", m.Source, m.Type, m.Target, err)
	}
	return nil
}

// Overlay returns a descriptor of a new overlay that is mounted nowhere yet,
// so that it can be placed in any mount namespace.
func Overlay(lower, upper, work string) (int, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen overlay: %w", err)
	}
	defer unix.Close(fs)
	for _, option := range [][2]string{
		{"source", "pyro"}, {"lowerdir", lower}, {"upperdir", upper}, {"workdir", work},
		// What stands in the upper directory is then complete without following redirects.
		{"redirect_dir", "off"}, {"metacopy", "off"}, {"index", "off"},
	} {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return -1, fmt.Errorf("overlay option %s=%s: %w", option[0], option[1], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("overlay of %s and %s: %w", lower, upper, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOATIME)
	if err != nil {
		return -1, fmt.Errorf("fsmount overlay: %w", err)
	}
	return fd, nil
}

// Place mounts what a descriptor from Overlay stands for.
func Place(fd, dir int, target string) error {
	if err := unix.MoveMount(fd, "", dir, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "move_mount", Path: target, Err: err}
	}
	return nil
}

// Move takes a mount, and all below it, to a name in the directory dir. The
// name is not followed when it is a link.
func Move(from string, dir int, name string) error {
	if err := unix.MoveMount(unix.AT_FDCWD, from, dir, name, 0); err != nil {
		return &os.PathError{Op: "move_mount", Path: from, Err: err}
	}
	return nil
}
