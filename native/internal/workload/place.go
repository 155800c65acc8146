package workload

import (
	"context"
	"fmt"
	"syscall"

	"pyro/native/internal/beneath"
	"pyro/native/internal/cgroup"
	"pyro/native/internal/process"
)

// Directory makes a working directory that is missing below /workspace.
func (m *Machine) Directory(dir string) (string, error) {
	if err := beneath.EnsureWorkingDirectory(m.Root(), dir); err != nil {
		return "", err
	}
	return dir, nil
}

// Launch lets start fork into the workload's namespaces.
func (m *Machine) Launch(start func()) error {
	return m.thread.do(func() {
		m.oomScore.WriteAt([]byte("0"), 0)
		defer m.oomScore.WriteAt([]byte("-1000"), 0)
		start()
	})
}

// Group makes the control group of one exec.
func (m *Machine) Group(id string) (process.Group, error) {
	group, err := m.group.Child("exec-" + id)
	if err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	return &execGroup{Group: group, machine: m, oomKills: m.oomKills.Load()}, nil
}

type execGroup struct {
	*cgroup.Group
	machine  *Machine
	oomKills int64
}

func (g *execGroup) Join(attr *syscall.SysProcAttr) {
	attr.UseCgroupFD, attr.CgroupFD = true, g.Descriptor()
}

func (g *execGroup) Joined(int) {}

// End removes the group, which fails only while a process of it lives.
func (g *execGroup) End(keep bool) (oomKilled bool) {
	if kills := int64(g.machine.group.OutOfMemory()); kills != g.oomKills {
		g.machine.oomKills.Store(kills)
		oomKilled = g.OutOfMemory() > 0
	}
	if g.Remove() == nil {
		return oomKilled
	}
	if keep {
		go g.removeEmpty()
		return oomKilled
	}
	g.Kill()
	g.removeEmpty()
	return oomKilled
}

// removeEmpty removes the group when its last process has ended.
func (g *execGroup) removeEmpty() {
	defer g.Close()
	g.Empty(context.Background())
	g.RemoveAll()
}
