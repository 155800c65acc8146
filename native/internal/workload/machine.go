// Package workload is where a guest's own work runs: its namespaces, its root,
// its processes. Root in there sees nothing of the agent.
package workload

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"pyro/native/internal/cgroup"
	"pyro/native/internal/lockdown"
	"pyro/native/internal/mounts"
)

const cgroupDir = "/sys/fs/cgroup"

// Machine is the guest that this agent is PID 1 of.
type Machine struct {
	thread *thread
	init   int
	group  *cgroup.Group
	blank  *blank
	// disk is what Attach mounted.
	disk atomic.Pointer[mounts.Disk]
	// clean is whether Shutdown left the disk so.
	clean bool
	// checkpoints come one after the other.
	checkpoints sync.Mutex
	// root is the workload's root directory.
	root atomic.Int32
	// oomScore is the agent's own oom_score_adj, which its children inherit.
	oomScore *os.File
	// oomKills is how many the workload's group had when an exec last ended.
	oomKills atomic.Int64
}

// New returns a machine that has booted.
func New() *Machine {
	m := &Machine{}
	m.root.Store(-1)
	return m
}

// Root is a descriptor of the workload's root, -1 before Prepare.
func (m *Machine) Root() int { return int(m.root.Load()) }

// startNamespaces starts the workload's init and the thread that forks into its
// namespaces.
func (m *Machine) startNamespaces() (err error) {
	if err := m.openGroup(); err != nil {
		return err
	}
	if m.oomScore, err = os.OpenFile("/proc/self/oom_score_adj", os.O_RDWR, 0); err != nil {
		return err
	}
	pidfd, err := m.startInit()
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	if err := m.delegate(); err != nil {
		return err
	}
	root := -1
	m.thread, err = startThread(func() error {
		if err := enter(pidfd); err != nil {
			return err
		}
		root, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	m.root.Store(int32(root))
	return err
}

func (m *Machine) openGroup() error {
	top, err := cgroup.Open(cgroupDir)
	if err != nil {
		return err
	}
	if err := top.Delegate(); err != nil {
		return err
	}
	pyro, err := top.Child("pyro")
	if err != nil {
		return err
	}
	if err := pyro.Delegate(); err != nil {
		return err
	}
	// What limits the workload stands on a group that it does not see.
	if err := setLimits(pyro); err != nil {
		return err
	}
	if err := lockdown.Group(pyro.Descriptor()); err != nil {
		return err
	}
	m.group, err = pyro.Child("workload")
	return err
}

// startInit returns once the namespaces are complete.
func (m *Machine) startInit() (pidfd int, err error) {
	var ready [2]int
	if err := unix.Pipe2(ready[:], unix.O_CLOEXEC); err != nil {
		return -1, err
	}
	told := os.NewFile(uintptr(ready[0]), "ready")
	defer told.Close()
	pidfd = -1
	m.init, err = syscall.ForkExec("/proc/self/exe", []string{InitName}, &syscall.ProcAttr{
		Dir: "/", Files: []uintptr{0, 1, 2, uintptr(ready[1])},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
			UseCgroupFD: true, CgroupFD: m.group.Descriptor(), PidFD: &pidfd, Setsid: true,
		},
	})
	unix.Close(ready[1])
	if err != nil {
		return -1, fmt.Errorf("start the workload's init: %w", err)
	}
	reason, err := io.ReadAll(told)
	if err == nil && len(reason) > 0 {
		err = fmt.Errorf("the workload's init: %s", reason)
	}
	return pidfd, err
}

// delegate lets the groups of execs have controllers, for which init has to
// leave the group that is the root of the workload's cgroup namespace.
func (m *Machine) delegate() error {
	own, err := m.group.Child("init")
	if err != nil {
		return err
	}
	defer own.Close()
	if err := own.Set("cgroup.procs", fmt.Sprint(m.init)); err != nil {
		return err
	}
	return m.group.Delegate()
}

// enter takes this thread, and the children that it will have, into the
// namespaces of init. What it may not have is dropped for its children only.
func enter(pidfd int) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	const all = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP
	if err := unix.Setns(pidfd, all); err != nil {
		return fmt.Errorf("enter the workload's namespaces: %w", err)
	}
	if err := lockdown.Children(); err != nil {
		return err
	}
	unix.Umask(0o022)
	return nil
}
