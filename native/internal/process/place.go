package process

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Place is where commands run.
type Place interface {
	// Directory readies the working directory of a command: its path as Launch
	// sees it.
	Directory(path string) (string, error)
	// Group makes the group of one exec.
	Group(id string) (Group, error)
	// Launch calls start where new processes belong, or fails when none can be started any more.
	Launch(start func()) error
}

// Group is every process of one exec.
type Group interface {
	// Join sets what makes a new process a member.
	Join(*syscall.SysProcAttr)
	// Joined tells the group its first process.
	Joined(pid int)
	Kill() error
	Signal(unix.Signal) error
	// End removes the group once nothing of it lives: what is left is killed and
	// waited for, or goes on with keep, where that is possible. It tells whether the kernel killed a process of the group for want of memory.
	End(keep bool) (oomKilled bool)
}
