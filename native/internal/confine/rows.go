package confine

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Row says of one thing whether it holds on this host.
type Row struct {
	Name string `json:"name"`
	// Status is "pass" or "fail".
	Status  string `json:"status"`
	Details string `json:"details"`
}

func (s *sight) rows() []Row {
	checks := []struct {
		name  string
		check func() (bool, string)
	}{
		{"network", s.network},
		{"files", s.files},
		{"processes", s.processes},
		{"user", s.user},
		{"capabilities", s.capabilities},
		{"system calls", s.systemCalls},
		{"template memory", s.memory},
		{"limits", s.limits},
		{"lifetime", s.lifetime},
	}
	rows := []Row{}
	for _, c := range checks {
		holds, details := c.check()
		status := "fail"
		if holds {
			status = "pass"
		}
		rows = append(rows, Row{c.name, status, details})
	}
	return rows
}

func (s *sight) network() (bool, string) {
	for address, result := range s.answers.Dial {
		if result == "ok" {
			return false, "the host is reached at " + address + s.because(Namespaces)
		}
	}
	if !s.apart["net"] {
		return false, "only a filter of system calls keeps it from the network" + s.because(Namespaces)
	}
	return true, "no interface but an unused lo; the host's sockets are out of reach"
}

func (s *sight) files() (bool, string) {
	var seen []string
	for path, result := range s.answers.See {
		if result == "ok" {
			seen = append(seen, path)
		}
	}
	slices.Sort(seen)
	if len(seen) > 0 || !s.apart["mnt"] {
		return false, "it sees the host's " + strings.Join(seen, ", ") + s.because(Namespaces)
	}
	return true, "it sees its program, libraries, firmware and the files of its machine, read-only; no /proc, no /sys"
}

func (s *sight) processes() (bool, string) {
	for pid, result := range s.answers.Signal {
		if result != "no such process" {
			return false, fmt.Sprintf("it finds process %s of the host (%s)%s", pid, result, s.because(Namespaces))
		}
	}
	return s.apart["pid"] && s.apart["ipc"], "it sees none but itself and shares no memory with others"
}

func (s *sight) user() (bool, string) {
	if !s.outcome.OwnUser {
		if os.Getuid() != 0 {
			return false, fmt.Sprintf("it runs as you (%d): a user of its own takes root", s.answers.User)
		}
		return false, fmt.Sprintf("it runs as user %d%s", s.answers.User, s.because(User, Lender, Namespaces))
	}
	return s.answers.User == s.outcome.User && s.answers.Group == s.outcome.User && len(s.answers.Groups) == 0,
		fmt.Sprintf("each machine has a user of its own, this one %d", s.answers.User)
}

func (s *sight) capabilities() (bool, string) {
	if s.answers.Capabilities != "0" || !s.answers.NoNewPrivs {
		return false, "it has capabilities " + s.answers.Capabilities
	}
	return true, "it has none and cannot gain any (no_new_privs)"
}

func (s *sight) systemCalls() (bool, string) {
	for name, result := range s.answers.Call {
		if result == "ok" {
			return false, name + " works"
		}
	}
	return s.answers.Seccomp == 2, fmt.Sprintf("seccomp refuses %d that no VMM needs; QEMU adds a filter of its own", len(denied)+len(missing))
}

func (s *sight) memory() (bool, string) {
	result := s.answers.Write[s.place.memory()]
	// What a descriptor for reading says to a write.
	if result == "write: bad file descriptor" {
		return true, "a template's memory is read-only to the forks, also for a VMM that opens it for writing"
	}
	if result == "ok" {
		return false, "a VMM that opens a template's memory for writing (QEMU before 8.2) can change it" + s.because(Lender, Namespaces)
	}
	return false, result
}

func (s *sight) limits() (bool, string) {
	const always = "no core dumps, at most 1024 descriptors"
	if !s.outcome.Limits {
		return false, always + "; no limits of memory and threads" + s.because(Limits)
	}
	return s.answers.Core == 0 && s.answers.Files <= maxFiles, always + "; a control group with limits of memory and threads"
}

func (s *sight) lifetime() (bool, string) {
	if s.answers.DeathSignal != 9 {
		return false, "it outlives a monitor that is killed"
	}
	return true, "the kernel kills it when its monitor dies"
}

// because gives the first reason that there is for what is missing.
func (s *sight) because(features ...string) string {
	for _, feature := range features {
		if reason := s.outcome.Missing[feature]; reason != "" {
			return ": " + reason
		}
	}
	return ""
}
