package mounts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Disk is a mounted btrfs disk of a workspace.
type Disk struct{ dir, options string }

// Subvolumes of a disk: what the guest changed in its root, and in /workspace.
const (
	RootVolume      = "root"
	WorkspaceVolume = "workspace"
)

// OpenDisk mounts the btrfs file system of a block device.
func OpenDisk(device, dir string) (Disk, error) {
	disk := Disk{dir, "nodatasum,discard=async"}
	err := Mount{device, dir, "btrfs", unix.MS_NOATIME, disk.options}.Do()
	if err != nil {
		// The device may not know discard.
		disk.options = "nodatasum"
		err = Mount{device, dir, "btrfs", unix.MS_NOATIME, disk.options}.Do()
	}
	return disk, err
}

// ReadOnly makes the disk read-only, flushing it, or writable again.
func (d Disk) ReadOnly(yes bool) error {
	flags := uintptr(unix.MS_REMOUNT | unix.MS_NOATIME)
	if yes {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("", d.dir, "", flags, d.options); err != nil {
		return &os.PathError{Op: "remount", Path: d.dir, Err: err}
	}
	return nil
}

// Superblock reads the btrfs superblock of a device past every cache.
func Superblock(device string) ([]byte, error) {
	fd, err := unix.Open(device, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: device, Err: err}
	}
	defer unix.Close(fd)
	const position, size = 64 << 10, 4 << 10
	page, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	defer unix.Munmap(page)
	n, err := unix.Pread(fd, page, position)
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: device, Err: err}
	}
	return bytes.Clone(page), nil
}

// Layout makes the subvolumes of a blank disk.
func (d Disk) Layout() error {
	for _, name := range []string{RootVolume, WorkspaceVolume} {
		if err := makeSubvolume(d.dir, name); err != nil {
			return err
		}
		for _, dir := range []string{d.Upper(name), d.Work(name)} {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
		}
	}
	return os.Mkdir(d.checkpoints(), 0o700)
}

// Upper is where an overlay keeps what differs from its lower layer.
func (d Disk) Upper(volume string) string { return filepath.Join(d.dir, volume, "upper") }

// Work is the directory that the kernel needs beside Upper.
func (d Disk) Work(volume string) string { return filepath.Join(d.dir, volume, "work") }

// ErrFailed is about a disk whose file system met an error: it is read-only, and
// what was not on it by then is lost.
var ErrFailed = errors.New("the disk is read-only after an error")

// Sync flushes everything that is dirty.
func (d Disk) Sync() error {
	dir, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("flush the disk: %w", err)
	}
	if d.Failed() {
		return ErrFailed
	}
	return nil
}

// Failed tells whether an error made the file system read-only. It waits for nothing.
func (d Disk) Failed() bool { return unix.Access(d.dir, unix.W_OK) == unix.EROFS }

// Close flushes the disk and unmounts it.
func (d Disk) Close() error {
	if err := unix.Unmount(d.dir, 0); err != nil {
		return &os.PathError{Op: "unmount", Path: d.dir, Err: err}
	}
	return nil
}

// ForgetBlocks drops what the kernel has cached of a block device, which may
// have been exchanged since.
func ForgetBlocks(device string) error {
	file, err := os.Open(device)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := ioctl(file, unix.BLKFLSBUF, nil); err != nil {
		return fmt.Errorf("flush the buffers of %s: %w", device, err)
	}
	return nil
}
