package confine

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
)

// plan is what the stage is told.
type plan struct {
	Path      string
	Argv      []string
	Env       []string
	Directory string
	// Namespaces tells that the stage was born in new ones.
	Namespaces bool
	View       *view
	// User is that of the VMM; 0 leaves it as it is.
	User int
	// Lender is a file that is opened through the lender, to see that it works; empty for no lender.
	Lender string
	// LendReads tells that files opened for reading are lent as well.
	LendReads bool
	// Connect allows Unix sockets.
	Connect bool
	Threads int
}

func (a *attempt) plan() plan {
	p := plan{
		Path: a.command.Path, Argv: a.command.Argv, Env: a.command.Env, Directory: a.command.Dir,
		Namespaces: a.has.namespaces != none, View: a.view, Connect: a.spec.Connect != "", Threads: a.spec.Threads,
	}
	if a.has.user {
		p.User = userOf(a.command.ID)
		p.LendReads = a.view.Unreadable
	}
	if a.has.lender {
		p.Lender = os.DevNull
	} else {
		p.View = a.view.withoutLender()
	}
	if a.has.user && a.spec.Connect != "" {
		letIn(a.spec.Connect, p.User)
	}
	return p
}

// letIn lets a group reach what it knows by name in a directory. That fails only where nothing there can be reached.
func letIn(directory string, group int) {
	os.Chown(directory, -1, group)
	os.Chmod(directory, 0o710)
}

// failure is what the stage says when it cannot become the VMM.
type failure struct {
	// Feature is the one that cannot be had, if it is one that can be gone without.
	Feature string
	// Program tells that it is the program that cannot be run.
	Program bool
	Reason  string
	Errno   syscall.Errno
}

func failureOf(message []byte, path string) error {
	var f failure
	if err := json.Unmarshal(message, &f); err != nil {
		return fmt.Errorf("the stage before the VMM said %q", message)
	}
	if !f.Program && (f.Feature == "" || !lasts(f.Errno)) {
		return fmt.Errorf("%s cannot be confined: %s", path, f.Reason)
	}
	if f.Feature == Namespaces {
		f.Reason = noNamespaces(f.Reason)
	}
	if f.Feature != "" {
		return &refusal{Feature: f.Feature, Reason: f.Reason}
	}
	return &os.PathError{Op: "start", Path: path, Err: f.Errno}
}
