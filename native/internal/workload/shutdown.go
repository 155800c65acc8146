package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/mounts"
)

const (
	// endTime is how long killed processes have to be gone. One that waits for a
	// device may never be.
	endTime = 5 * time.Second
	// quietTime is how long calls of the agent have to let go of the disk.
	quietTime = 500 * time.Millisecond
	// forcedTime is how long the kernel has to make the disk read-only under whoever still writes to it.
	forcedTime = 10 * time.Second
)

// Sync flushes everything that is dirty to the disk.
func (m *Machine) Sync() error {
	if disk := m.disk.Load(); disk != nil {
		return disk.Sync()
	}
	return nil
}

// ErrNotAttached is about a machine that has no disk of its own yet.
var ErrNotAttached = errors.New("the machine has no disk yet")

// Checkpoint keeps what the disk holds, unless nothing has changed.
func (m *Machine) Checkpoint(sequence uint64, keep int) (taken bool, last uint64, err error) {
	disk := m.disk.Load()
	if disk == nil {
		return false, 0, ErrNotAttached
	}
	m.checkpoints.Lock()
	defer m.checkpoints.Unlock()
	return disk.Checkpoint(sequence, keep)
}

// DiskFailed tells whether the disk takes no more writes after an error.
func (m *Machine) DiskFailed() bool {
	disk := m.disk.Load()
	return disk != nil && disk.Failed()
}

// Shutdown ends the workload and leaves the disk as clean as unmounted,
// whatever still holds on to it. It can be repeated.
func (m *Machine) Shutdown() error {
	if m.clean {
		return nil
	}
	failed := m.endWorkload()
	if root := m.root.Swap(-1); root >= 0 {
		unix.Close(int(root))
	}
	if blank := m.blank; blank != nil {
		m.blank = nil
		blank.closeMounts()
	}
	unix.Sync()
	disk := m.disk.Load()
	if disk == nil {
		return errors.Join(failed, unmount(diskDir))
	}
	if disk.Failed() {
		return errors.Join(failed, mounts.ErrFailed)
	}
	if err := freeze(*disk); err != nil {
		return errors.Join(failed, err)
	}
	// Not a byte will change any more, so that a mount which is in use can stay.
	unmountSoon(diskDir, quietTime)
	m.clean = true
	return failed
}

// endWorkload starts no more processes and ends those that there are. After
// an error it goes on: the disk matters more.
func (m *Machine) endWorkload() (failed error) {
	if m.thread != nil {
		m.thread.end()
	}
	if m.group != nil {
		ctx, cancel := context.WithTimeout(context.Background(), endTime)
		defer cancel()
		failed = errors.Join(m.group.Kill(), m.group.Empty(ctx))
	}
	if m.init > 0 && failed == nil {
		var status syscall.WaitStatus
		for {
			if _, err := syscall.Wait4(m.init, &status, 0, nil); err != syscall.EINTR {
				break
			}
		}
	}
	return failed
}

// freeze makes the disk read-only, which writes all that is to be written and
// leaves no log to be replayed. Who has files open for writing cannot prevent it.
func freeze(disk mounts.Disk) error {
	err := repeat(quietTime, func() error { return disk.ReadOnly(true) })
	if err == nil {
		return nil
	}
	trigger, failed := os.OpenFile("/proc/sysrq-trigger", os.O_WRONLY, 0)
	if failed != nil {
		return errors.Join(err, failed)
	}
	defer trigger.Close()
	if _, failed := trigger.WriteString("u"); failed != nil {
		return errors.Join(err, failed)
	}
	return repeat(forcedTime, func() error {
		if !disk.Failed() {
			return fmt.Errorf("the disk stays writable: %w", unix.EBUSY)
		}
		return nil
	})
}

// unmountSoon waits for the last users of a file system, such as a call that
// reads a file.
func unmountSoon(dir string, limit time.Duration) error {
	err := repeat(limit, func() error { return unix.Unmount(dir, 0) })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// released waits until nothing is mounted from a block device.
func released(device string) error {
	return repeat(quietTime, func() error {
		fd, err := unix.Open(device, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: device, Err: err}
		}
		return unix.Close(fd)
	})
}

// repeat tries again what is busy.
func repeat(limit time.Duration, try func() error) error {
	end := time.Now().Add(limit)
	for wait := time.Millisecond; ; wait *= 2 {
		err := try()
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return err
		}
		time.Sleep(wait)
	}
}

// PowerOff ends the machine.
func (m *Machine) PowerOff() { unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) }
