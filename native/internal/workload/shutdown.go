package workload

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sync flushes everything that is dirty to the disk.
func (m *Machine) Sync() error {
	root := m.Root()
	if root < 0 {
		return nil
	}
	dir, err := unix.Openat(root, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/", Err: err}
	}
	defer unix.Close(dir)
	if err := unix.Syncfs(dir); err != nil {
		return fmt.Errorf("flush the disk: %w", err)
	}
	return nil
}

// Shutdown ends the workload and leaves the disk flushed and unmounted.
func (m *Machine) Shutdown() error {
	if m.group != nil {
		if err := errors.Join(m.group.Kill(), m.group.Empty()); err != nil {
			return err
		}
	}
	if m.init > 0 {
		var status syscall.WaitStatus
		for {
			if _, err := syscall.Wait4(m.init, &status, 0, nil); err != syscall.EINTR {
				break
			}
		}
	}
	if m.thread != nil {
		m.thread.end()
	}
	if root := m.root.Swap(-1); root >= 0 {
		unix.Close(int(root))
	}
	if m.blank != nil {
		unix.Close(m.blank.workspace)
		unix.Close(m.blank.root)
	}
	unix.Sync()
	if unmountSoon(diskDir) == nil {
		return nil
	}
	if err := unix.Mount("", diskDir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", diskDir, err)
	}
	return nil
}

// unmountSoon waits a moment for the last users of a file system, such as a
// call that reads a file.
func unmountSoon(dir string) error {
	for wait := time.Millisecond; ; wait *= 2 {
		err := unix.Unmount(dir, 0)
		if err == nil || err == unix.EINVAL || err == unix.ENOENT {
			return nil
		}
		if err != unix.EBUSY || wait > 200*time.Millisecond {
			return err
		}
		time.Sleep(wait)
	}
}

// PowerOff ends the machine.
func (m *Machine) PowerOff() { unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) }
