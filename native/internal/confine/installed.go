package confine

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// libraries are the system's. They are taken whole: they hold what every user
// of a host may read, while a list made from the ELF headers would miss what a
// VMM loads at run time, and cost a mount for each of sixty libraries.
var libraries = []string{"/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache"}

// beside is what an installation has next to the directory of its programs.
var beside = []string{"lib", "lib64", "libexec", "share/qemu", "share/qemu-firmware", "share/seabios"}

// stores hold every installation in a directory of its own, with libraries in others.
var stores = []string{"/nix/store", "/gnu/store"}

// forScripts is what an interpreter needs, and what it starts.
var forScripts = []string{"/usr", "/bin", "/sbin"}

// installed are the paths that a program needs to run.
func installed(program string, env []string) ([]string, error) {
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return nil, err
	}
	paths := slices.Clone(libraries)
	if prefix := filepath.Dir(filepath.Dir(real)); prefix != "/" {
		for _, name := range beside {
			paths = append(paths, filepath.Join(prefix, name))
		}
	}
	for _, store := range stores {
		if strings.HasPrefix(real, store+"/") {
			paths = append(paths, store)
		}
	}
	for _, variable := range env {
		if list, found := strings.CutPrefix(variable, "LD_LIBRARY_PATH="); found {
			paths = append(paths, filepath.SplitList(list)...)
		}
	}
	// A script stands in for a program at another place.
	if isScript(real) {
		paths = append(paths, forScripts...)
	}
	paths = slices.DeleteFunc(paths, func(path string) bool {
		_, err := os.Stat(path)
		return err != nil || !filepath.IsAbs(path)
	})
	return append(paths, program, real), nil
}

func isScript(program string) bool {
	file, err := os.Open(program)
	if err != nil {
		return false
	}
	defer file.Close()
	start := make([]byte, 2)
	_, err = io.ReadFull(file, start)
	return err == nil && string(start) == "#!"
}
