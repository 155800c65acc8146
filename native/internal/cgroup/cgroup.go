// Package cgroup groups processes with the kernel's control groups, version 2.
package cgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Group is an open control group.
type Group struct {
	fd     int
	parent int
	name   string
}

// Open opens an existing group by its path.
func Open(path string) (*Group, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &Group{fd: fd, parent: -1, name: path}, nil
}

// Child makes a group below g.
func (g *Group) Child(name string) (*Group, error) {
	if err := unix.Mkdirat(g.fd, name, 0o755); err != nil && err != unix.EEXIST {
		return nil, &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	fd, err := unix.Openat(g.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return &Group{fd: fd, parent: g.fd, name: name}, nil
}

// Descriptor is what clone3 wants to start a process in the group.
func (g *Group) Descriptor() int { return g.fd }

// Set writes one of the group's files.
func (g *Group) Set(file, value string) error {
	fd, err := unix.Openat(g.fd, file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: file, Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(value)); err != nil {
		return fmt.Errorf("write %q to %s of %s: %w", value, file, g.name, err)
	}
	return nil
}

// Delegate enables every controller that there is for the groups below g.
func (g *Group) Delegate() error {
	controllers, err := g.read("cgroup.controllers")
	if err != nil {
		return err
	}
	var failed error
	for _, name := range strings.Fields(string(controllers)) {
		failed = errors.Join(failed, g.Set("cgroup.subtree_control", "+"+name))
	}
	return failed
}

// Kill ends every process of the group and of those below it.
func (g *Group) Kill() error { return g.Set("cgroup.kill", "1") }

// Signal sends a signal to every process of the group and of those below it.
func (g *Group) Signal(signal unix.Signal) error {
	if signal == unix.SIGKILL {
		return g.Kill()
	}
	return g.walk(func(group *Group) error {
		list, err := group.read("cgroup.procs")
		for _, field := range strings.Fields(string(list)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				unix.Kill(pid, signal)
			}
		}
		return err
	})
}

// OutOfMemory tells how many processes of the group the kernel has killed for want of memory.
func (g *Group) OutOfMemory() int {
	events, _ := g.read("memory.events")
	return field(events, "oom_kill ")
}

// Empty waits until no process of the group lives.
func (g *Group) Empty(ctx context.Context) error {
	fd, err := unix.Openat(g.fd, "cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		buffer := make([]byte, 256)
		n, err := unix.Pread(fd, buffer, 0)
		if err != nil {
			return err
		}
		if field(buffer[:n], "populated ") == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("processes of the group %s do not end: %w", g.name, err)
		}
		events := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}
		if _, err := unix.Poll(events, 1000); err != nil && err != unix.EINTR {
			return err
		}
	}
}

// Remove removes the group. It fails with EBUSY while a process of it lives.
func (g *Group) Remove() error {
	if err := unix.Unlinkat(g.parent, g.name, unix.AT_REMOVEDIR); err != nil {
		return err
	}
	return g.Close()
}

// RemoveAll removes the group and those below it, which hold no process.
func (g *Group) RemoveAll() error {
	return g.walk(func(group *Group) error {
		return unix.Unlinkat(group.parent, group.name, unix.AT_REMOVEDIR)
	})
}

// Close lets go of the group and leaves it as it is.
func (g *Group) Close() error { return unix.Close(g.fd) }

// walk visits the groups below g, then g itself.
func (g *Group) walk(visit func(*Group) error) error {
	dir, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", g.fd))
	if err != nil {
		return err
	}
	entries, err := dir.ReadDir(-1)
	dir.Close()
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		child, err := g.Child(entry.Name())
		if err != nil {
			return err
		}
		err = child.walk(visit)
		child.Close()
		if err != nil {
			return err
		}
	}
	return visit(g)
}

func (g *Group) read(file string) ([]byte, error) {
	fd, err := unix.Openat(g.fd, file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: file, Err: err}
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	var content bytes.Buffer
	_, err = content.ReadFrom(f)
	return content.Bytes(), err
}

// field is the number that follows name in a flat keyed file.
func field(content []byte, name string) int {
	_, rest, found := bytes.Cut(append([]byte("\n"), content...), []byte("\n"+name))
	if !found {
		return 0
	}
	digits, _, _ := bytes.Cut(rest, []byte("\n"))
	n, _ := strconv.Atoi(string(digits))
	return n
}
