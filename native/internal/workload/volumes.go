package workload

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"pyro/native/internal/mounts"
)

// volumes are a mounted disk and what the workload sees of it: mounts that have
// no place yet.
type volumes struct {
	disk            mounts.Disk
	root, workspace int
}

// openVolumes mounts a disk and the overlays that change nothing but it.
func openVolumes(device, seed string) (v *volumes, err error) {
	v = &volumes{root: -1, workspace: -1}
	if v.disk, err = mounts.OpenDisk(device, diskDir); err != nil {
		return nil, err
	}
	upper := v.disk.Upper(mounts.RootVolume)
	if err := makeMountPoints(upper, environmentDir); err != nil {
		return nil, err
	}
	if v.root, err = mounts.Overlay(environmentDir, upper, v.disk.Work(mounts.RootVolume)); err != nil {
		return nil, err
	}
	return v, v.openWorkspace(seed)
}

// openWorkspace replaces the workspace by one that starts with the seed, or
// empty. Also the empty one is an overlay: on files of btrfs itself root could
// ask btrfs to remove or mount any subvolume.
func (v *volumes) openWorkspace(seed string) (err error) {
	unix.Close(v.workspace)
	lower := emptyDir
	if seed != "" {
		lower = seedDir
		if err := mountSeed(seed); err != nil {
			return err
		}
	}
	v.workspace, err = mounts.Overlay(lower, v.disk.Upper(mounts.WorkspaceVolume), v.disk.Work(mounts.WorkspaceVolume))
	return err
}

// mountSeed mounts what is in the drive now: the image may have been exchanged
// after the kernel last read from it.
func mountSeed(device string) error {
	if err := mounts.ForgetBlocks(device); err != nil {
		return err
	}
	return mounts.Mount{Source: device, Target: seedDir, Type: "squashfs", Flags: unix.MS_RDONLY | unix.MS_NODEV}.Do()
}

func (v *volumes) close() error {
	v.closeMounts()
	return unmount(diskDir)
}

func (v *volumes) closeMounts() {
	unix.Close(v.root)
	unix.Close(v.workspace)
}

// blank is the disk that every new workspace starts with. It stays mounted in
// a template, read-only so that not a byte is written to the disk that a fork
// finds in its place: mounting is most of what an attach costs.
type blank struct {
	*volumes
	superblock []byte
}

// keepBlank mounts the disk, makes it read-only and remembers its superblock.
func keepBlank(device string) (*blank, error) {
	v, err := openVolumes(device, "")
	if err != nil {
		return nil, err
	}
	if err := precreateNames(v.disk.Upper(mounts.RootVolume)); err != nil {
		return nil, err
	}
	// The overlay marks on the disk what it finds there at first sight: a fork would change its disk by reading.
	var st unix.Stat_t
	if err := unix.Fstatat(v.root, "etc/hostname", &st, 0); err != nil {
		return nil, &os.PathError{Op: "stat", Path: "/etc/hostname", Err: err}
	}
	if err := v.disk.ReadOnly(true); err != nil {
		return nil, err
	}
	superblock, err := mounts.Superblock(device)
	return &blank{v, superblock}, err
}

// reopen makes the blank disk writable when it is the one in the device, or
// opens that. Every change of a btrfs file system changes its superblock.
func (b *blank) reopen(device, seed string) (*volumes, error) {
	superblock, err := mounts.Superblock(device)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(superblock, b.superblock) {
		if err := b.disk.ReadOnly(false); err != nil {
			return nil, err
		}
		if seed == "" {
			return b.volumes, nil
		}
		return b.volumes, b.openWorkspace(seed)
	}
	if err := b.close(); err != nil {
		return nil, err
	}
	// A mount of a disk that is still mounted would be a second sight of what the template knew of it.
	if err := released(device); err != nil {
		return nil, err
	}
	if err := mounts.ForgetBlocks(device); err != nil {
		return nil, err
	}
	return openVolumes(device, seed)
}

// unmount fails when the file system stays in use.
func unmount(dir string) error {
	err := unmountSoon(dir, quietTime)
	if err != nil {
		return &os.PathError{Op: "unmount", Path: dir, Err: err}
	}
	return nil
}

// layOut makes the subvolumes of the blank disk.
func layOut(device string) error {
	disk, err := mounts.OpenDisk(device, diskDir)
	if err != nil {
		return err
	}
	if err := disk.Layout(); err != nil {
		return fmt.Errorf("lay out the disk: %w", err)
	}
	return disk.Close()
}
