package mounts

import (
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Disk is a mounted btrfs disk of a workspace.
type Disk struct{ dir string }

// Subvolumes of a disk: what the guest changed in its root, and in /workspace.
const (
	RootVolume      = "root"
	WorkspaceVolume = "workspace"
)

// OpenDisk mounts the btrfs file system of a block device.
func OpenDisk(device, dir string) (Disk, error) {
	mount := Mount{device, dir, "btrfs", unix.MS_NOATIME, "nodatasum,discard=async"}
	err := mount.Do()
	if err != nil {
		mount.Options = "nodatasum"
		err = mount.Do()
	}
	return Disk{dir}, err
}

// Layout makes the subvolumes of a blank disk.
func (d Disk) Layout() error {
	for _, name := range []string{RootVolume, WorkspaceVolume} {
		if err := d.subvolume(name); err != nil {
			return err
		}
		for _, dir := range []string{d.Upper(name), d.Work(name)} {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

// Upper is where an overlay keeps what differs from its lower layer.
func (d Disk) Upper(volume string) string { return filepath.Join(d.dir, volume, "upper") }

// Work is the directory that the kernel needs beside Upper.
func (d Disk) Work(volume string) string { return filepath.Join(d.dir, volume, "work") }

// Close flushes the disk and unmounts it.
func (d Disk) Close() error {
	if err := unix.Unmount(d.dir, 0); err != nil {
		return &os.PathError{Op: "unmount", Path: d.dir, Err: err}
	}
	return nil
}

func (d Disk) subvolume(name string) error {
	dir, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	// struct btrfs_ioctl_vol_args of linux/btrfs.h
	var args struct {
		fd   int64
		name [4088]byte
	}
	copy(args.name[:], name)
	const subvolCreate = 0x5000940e
	if err := ioctl(dir, subvolCreate, unsafe.Pointer(&args)); err != nil {
		return fmt.Errorf("btrfs subvolume %s: %w", name, err)
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

func ioctl(file *os.File, request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}
