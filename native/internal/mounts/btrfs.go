package mounts

import (
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of linux/btrfs.h.
const (
	subvolumeCreate  = 0x5000940e
	subvolumeDestroy = 0x5000940f
	snapshotCreate   = 0x50009417
	subvolumeInfo    = 0x81f8943c
)

// subvolumeArguments is struct btrfs_ioctl_vol_args.
type subvolumeArguments struct {
	fd   int64
	name [4088]byte
}

// snapshotArguments is struct btrfs_ioctl_vol_args_v2.
type snapshotArguments struct {
	fd    int64
	_     uint64
	flags uint64
	_     [4]uint64
	name  [4040]byte
}

// subvolumeState is struct btrfs_ioctl_get_subvol_info_args.
type subvolumeState struct {
	_          [280]byte
	generation uint64
	_          [64]byte
	// made is the generation in which the subvolume came to be.
	made uint64
	_    [144]byte
}

func makeSubvolume(dir, name string) error {
	arguments := subvolumeArguments{}
	copy(arguments.name[:], name)
	return onDirectory(dir, subvolumeCreate, unsafe.Pointer(&arguments), "make subvolume "+name)
}

// removeSubvolume takes the name away at once; the space comes back by and by.
func removeSubvolume(dir, name string) error {
	arguments := subvolumeArguments{}
	copy(arguments.name[:], name)
	return onDirectory(dir, subvolumeDestroy, unsafe.Pointer(&arguments), "remove subvolume "+name)
}

// snapshot keeps what a subvolume holds, read-only, under the same name in
// another directory. It is on the disk when this returns.
func snapshot(subvolume, dir string) error {
	source, err := os.Open(subvolume)
	if err != nil {
		return err
	}
	defer source.Close()
	const readOnly = 2
	arguments := snapshotArguments{fd: int64(source.Fd()), flags: readOnly}
	copy(arguments.name[:], filepath.Base(subvolume))
	return onDirectory(dir, snapshotCreate, unsafe.Pointer(&arguments), "snapshot of "+subvolume)
}

// stateOf tells of a subvolume what the last commit wrote.
func stateOf(subvolume string) (state subvolumeState, err error) {
	err = onDirectory(subvolume, subvolumeInfo, unsafe.Pointer(&state), "state of subvolume "+subvolume)
	return state, err
}

func onDirectory(path string, request uintptr, arguments unsafe.Pointer, doing string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := ioctl(dir, request, arguments); err != nil {
		return fmt.Errorf("btrfs: %s: %w", doing, err)
	}
	return nil
}

func ioctl(file *os.File, request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}
