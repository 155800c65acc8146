// Package unconfined serves a directory of the host as if it were a guest:
// ordinary processes, without isolation.
package unconfined

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/beneath"
	"pyro/native/internal/process"
	"pyro/native/internal/workload"
)

// Machine is a directory that stands for a guest's root.
type Machine struct {
	dir  string
	root int

	mu     sync.Mutex
	groups map[*group]struct{}
}

// New opens the directory and makes it when it is missing.
func New(dir string) (*Machine, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return nil, err
	}
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &Machine{dir: dir, root: root, groups: map[*group]struct{}{}}, nil
}

// Root is a descriptor of the directory.
func (m *Machine) Root() int { return m.root }

// Prepare has nothing to mount.
func (m *Machine) Prepare(context.Context, string, string, [][]string) error { return nil }

// Attach makes the directories of a workspace.
func (m *Machine) Attach(workload.Identity, string, string) error {
	return os.MkdirAll(filepath.Join(m.dir, "workspace"), 0o755)
}

// SetClock leaves the host's clock alone.
func (m *Machine) SetClock(time.Time) error { return nil }

// Directory maps a working directory into the directory of the machine.
func (m *Machine) Directory(dir string) (string, error) {
	if err := beneath.EnsureWorkingDirectory(m.root, dir); err != nil {
		return "", err
	}
	return filepath.Join(m.dir, path.Clean(dir)), nil
}

// Launch starts processes right here.
func (m *Machine) Launch(start func()) error {
	start()
	return nil
}

// Group makes the group of one exec.
func (m *Machine) Group(string) (process.Group, error) {
	g := &group{machine: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups[g] = struct{}{}
	return g, nil
}

// Sync flushes the file system of the directory.
func (m *Machine) Sync() error {
	dir, err := os.Open(m.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Syncfs(int(dir.Fd()))
}

// Checkpoint flushes: a directory of the host keeps no checkpoints.
func (m *Machine) Checkpoint(uint64, int) (taken bool, last uint64, err error) {
	return false, 0, m.Sync()
}

// DiskFailed knows nothing of the host's disks.
func (m *Machine) DiskFailed() bool { return false }

// Shutdown ends every process that was started.
func (m *Machine) Shutdown() error {
	m.mu.Lock()
	groups := make([]*group, 0, len(m.groups))
	for g := range m.groups {
		groups = append(groups, g)
	}
	m.mu.Unlock()
	for _, g := range groups {
		g.Kill()
	}
	return m.Sync()
}

// PowerOff ends the agent.
func (m *Machine) PowerOff() { os.Exit(0) }
