// Package confine starts a VMM so that a guest which takes it over finds
// nothing: no network, no files but its own, no other process, no rights.
//
// Between the monitor and the VMM stands a stage, `pyro-host confine`, which is
// born in new namespaces, builds a root file system of its own, gives up its
// rights and then becomes the VMM. What the kernel or an administrator does not
// allow is left out, one thing at a time, and Outcome says what and why.
package confine

import (
	"fmt"
	"path/filepath"
)

// Spec says what a VMM gets besides its descriptors, its program and the
// libraries and firmware of that. All paths are absolute and look the same to
// the VMM.
type Spec struct {
	// Read are files and whole directories that it may read.
	Read []string `json:"read"`
	// Write are files that it may write to; one that does not exist is made.
	Write []string `json:"write"`
	// Lend are files that it opens for reading and writing, as QEMU before 8.2
	// does with memory that it maps privately. It gets a descriptor for reading.
	Lend []string `json:"lend"`
	// Devices are device files that it may open. /dev/null, zero and urandom are always there.
	Devices []string `json:"devices"`
	// Connect is a directory with Unix sockets that it may connect to; empty for none.
	Connect string `json:"connect"`
	// MemoryMiB and Threads are limits, where there is a control group to set them on; 0 is none.
	MemoryMiB int `json:"memory_mib"`
	Threads   int `json:"threads"`
}

// Check tells what is wrong with a spec.
func (s *Spec) Check() error {
	for _, list := range [][]string{s.Read, s.Write, s.Lend, s.Devices} {
		for _, path := range list {
			if !filepath.IsAbs(path) {
				return fmt.Errorf("%q is not an absolute path", path)
			}
		}
	}
	switch {
	case s.Connect != "" && !filepath.IsAbs(s.Connect):
		return fmt.Errorf("%q is not an absolute path", s.Connect)
	case s.MemoryMiB < 0 || s.Threads < 0:
		return fmt.Errorf("a limit is below 0")
	}
	return nil
}
