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
	if err := reseed(id.Entropy); err != nil {
		return err
	}
	if err := m.SetClock(id.Now); err != nil {
		return err
	}
	blank := m.blank
	m.blank = nil
	volumes, err := blank.reopen(disk, seed)
	if err != nil {
		return err
	}
	m.disk.Store(&volumes.disk)
	defer unix.Close(volumes.workspace)
	if err := writeNames(volumes.disk.Upper(mounts.RootVolume), id); err != nil {
		return err
	}
	ended := m.thread.do(func() {
		err = errors.Join(unix.Sethostname([]byte(id.Hostname)), changeRoot(volumes.root, volumes.workspace))
	})
	unix.Close(int(m.root.Swap(int32(volumes.root))))
	return errors.Join(ended, err)
}

// SetClock sets the time of day.
func (m *Machine) SetClock(now time.Time) error {
	value := unix.NsecToTimespec(now.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &value); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
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
