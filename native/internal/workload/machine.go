// Package workload is where a guest's own work runs: its namespaces, its root,
// its processes. Root in there sees nothing of the agent.
package workload

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"pyro/native/internal/cgroup"
)

const (
	cgroupDir = "/sys/fs/cgroup"
	// reserve is what the workload leaves of the memory that is available before
	// it starts, in bytes: when it runs out of its own, that ends one of its
	// processes instead of starving the whole machine.
	reserve = 32 << 20
)

// droppedCapabilities are what no process of the workload can have.
var droppedCapabilities = []uintptr{
	unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYS_BOOT, unix.CAP_SYS_TIME, unix.CAP_MKNOD,
}

// Machine is the guest that this agent is PID 1 of.
type Machine struct {
	thread *thread
	init   int
	group  *cgroup.Group
	blank  *blank
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
	// The limit stands on a group that the workload does not see.
	available, err := availableMemory()
	if err != nil {
		return err
	}
	if err := pyro.Set("memory.max", fmt.Sprint(max(available-reserve, available/2))); err != nil {
		return err
	}
	m.group, err = pyro.Child("workload")
	return err
}

// availableMemory is what programs could use, in bytes.
func availableMemory() (int64, error) {
	content, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(content), "MemAvailable:")
	kib := int64(0)
	if _, err := fmt.Sscan(rest, &kib); !found || err != nil {
		return 0, errors.New("the kernel does not tell how much memory is available")
	}
	return kib << 10, nil
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
	for _, capability := range droppedCapabilities {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	unix.Umask(0o022)
	return nil
}
