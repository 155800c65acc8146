package workload

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/mounts"
)

// Identity is what makes a fork a machine of its own.
type Identity struct {
	Hostname  string
	MachineID string
	Now       time.Time
	// Entropy is what no other machine gets.
	Entropy []byte
}

// Attach gives the machine its identity, its disk and its seed.
func (m *Machine) Attach(id Identity, disk, seed string) error {
	T0 := time.Now(); var L []string; P := func(n string) { L = append(L, n+"="+time.Since(T0).Round(100*time.Microsecond).String()) }; defer func() { fmt.Println(L) }()
	if err := reseed(id.Entropy); err != nil {
		return err
	}
	now := unix.NsecToTimespec(id.Now.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	P("reseed,clock")
	volumes, err := openVolumes(disk, seed)
	if err != nil {
		return err
	}
	P("disk+seed")
	if err := makeMountPoints(volumes.Upper(mounts.RootVolume), environmentDir); err != nil {
		return err
	}
	P("points")
	if err := writeNames(volumes.Upper(mounts.RootVolume), id); err != nil {
		return err
	}
	P("names")
	root, err := mounts.Overlay(environmentDir, volumes.Upper(mounts.RootVolume), volumes.Work(mounts.RootVolume))
	if err != nil {
		return err
	}
	P("root overlay")
	workspace, err := openWorkspace(volumes, seed)
	if err != nil {
		return err
	}
	defer unix.Close(workspace)
	P("workspace")
	m.thread.do(func() {
		err = errors.Join(unix.Sethostname([]byte(id.Hostname)), changeRoot(root, workspace))
	})
	P("chroot")
	unix.Close(int(m.root.Swap(int32(root))))
	return err
}

// openVolumes mounts the disk, and the seed if there is one.
func openVolumes(device, seed string) (mounts.Disk, error) {
	if err := mounts.ForgetBlocks(device); err != nil {
		return mounts.Disk{}, err
	}
	disk, err := mounts.OpenDisk(device, diskDir)
	if err != nil || seed == "" {
		return disk, err
	}
	if err := mounts.ForgetBlocks(seed); err != nil {
		return disk, err
	}
	return disk, mounts.Mount{Source: seed, Target: seedDir, Type: "squashfs", Flags: unix.MS_RDONLY | unix.MS_NODEV}.Do()
}

func openWorkspace(disk mounts.Disk, seed string) (int, error) {
	upper := disk.Upper(mounts.WorkspaceVolume)
	if seed == "" {
		return mounts.Bind(upper)
	}
	return mounts.Overlay(seedDir, upper, disk.Work(mounts.WorkspaceVolume))
}

// changeRoot replaces the prepared root by the machine's own. It runs on the
// workload's thread.
func changeRoot(root, workspace int) error {
	const staging = "/tmp"
	if err := mounts.Place(root, unix.AT_FDCWD, staging); err != nil {
		return err
	}
	for _, name := range moved {
		if err := mounts.Move("/"+name, root, name); err != nil {
			return err
		}
	}
	if err := mounts.Place(workspace, root, "workspace"); err != nil {
		return err
	}
	if err := unix.Fchdir(root); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	// The old root ends up on top of the new one, from where it is unmounted.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the prepared root: %w", err)
	}
	return unix.Chdir("/")
}
