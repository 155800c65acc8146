package confine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/cgroup"
)

// groupPrefix begins the names of our control groups.
const groupPrefix = "pyro-"

// stale is how old a control group without a process must be: in a younger one a VMM may be about to start.
const stale = time.Minute

// hierarchy is where control groups of version 2 are, for a process.
type hierarchy struct {
	// mount is the directory of the hierarchy's root, own that of the process's group.
	mount, own string
}

// group is a control group of one VMM; nil is none.
type group struct {
	*cgroup.Group
	path string
}

// newGroup makes a group with the limits of a spec, in the nearest place that was delegated to us.
func newGroup(spec *Spec, id string) (*group, error) {
	h, err := findHierarchy()
	if err != nil {
		return nil, err
	}
	return h.newGroup(spec, id)
}

func (h hierarchy) newGroup(spec *Spec, id string) (*group, error) {
	parent, err := h.delegated()
	if err != nil {
		return nil, err
	}
	removeStale(parent)
	path := filepath.Join(parent, groupPrefix+filepath.Base(id))
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	opened, err := cgroup.Open(path)
	if err != nil {
		os.Remove(path)
		return nil, err
	}
	g := &group{opened, path}
	for file, value := range map[string]string{"memory.max": limitOf(spec.MemoryMiB << 20), "pids.max": limitOf(spec.Threads)} {
		if err := g.Set(file, value); err != nil {
			g.remove()
			return nil, err
		}
	}
	return g, nil
}

func limitOf(most int) string {
	if most == 0 {
		return "max"
	}
	return strconv.Itoa(most)
}

func (g *group) remove() {
	if g == nil {
		return
	}
	g.Close()
	os.Remove(g.path)
}

// removeStale removes what killed monitors left. The kernel refuses to remove a group that is in use.
func removeStale(parent string) {
	groups, _ := filepath.Glob(filepath.Join(parent, groupPrefix+"*"))
	for _, path := range groups {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > stale {
			unix.Rmdir(path)
		}
	}
}

// findHierarchy reads where the hierarchy is mounted and which group is ours.
func findHierarchy() (hierarchy, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return hierarchy{}, err
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return hierarchy{}, err
	}
	return parseHierarchy(string(mounts), string(groups))
}

func parseHierarchy(mounts, groups string) (hierarchy, error) {
	mount, root := "", ""
	for line := range strings.Lines(mounts) {
		// id parent device root mount-point options … - type source options
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) >= 5 && strings.HasPrefix(after, "cgroup2 ") {
			root, mount = fields[3], fields[4]
		}
	}
	if mount == "" {
		return hierarchy{}, errors.New("no control groups of version 2 are mounted")
	}
	for line := range strings.Lines(groups) {
		path, found := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !found {
			continue
		}
		inside, err := filepath.Rel(root, path)
		if err != nil || !filepath.IsLocal(inside) {
			return hierarchy{}, fmt.Errorf("our control group %s is not below %s, which is what is mounted", path, root)
		}
		return hierarchy{mount, filepath.Join(mount, inside)}, nil
	}
	return hierarchy{}, errors.New("we are in no control group of version 2")
}

// delegated is the nearest group at or above ours in which we may make groups with limits.
func (h hierarchy) delegated() (string, error) {
	var reasons []string
	for dir := h.own; ; dir = filepath.Dir(dir) {
		reason := usable(dir)
		if reason == "" {
			return dir, nil
		}
		reasons = append(reasons, reason)
		if dir == h.mount || !strings.HasPrefix(dir, h.mount) {
			return "", errors.New(reasons[len(reasons)-1])
		}
	}
}

// usable says why no groups with limits can be made in dir, or nothing.
func usable(dir string) string {
	for _, path := range []string{dir, filepath.Join(dir, "cgroup.procs")} {
		if err := unix.Access(path, unix.W_OK); err != nil {
			return fmt.Sprintf("%s was not delegated to us: %v", dir, err)
		}
	}
	for _, controller := range []string{"memory", "pids"} {
		if has(filepath.Join(dir, "cgroup.subtree_control"), controller) {
			continue
		}
		if !has(filepath.Join(dir, "cgroup.controllers"), controller) {
			return fmt.Sprintf("%s has no %s controller", dir, controller)
		}
		// Refused while a process is in the group itself, other than at the root.
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0); err != nil {
			return fmt.Sprintf("%s gives its %s controller to no group below it: %v", dir, controller, errors.Unwrap(err))
		}
	}
	return ""
}

func has(file, word string) bool {
	content, _ := os.ReadFile(file)
	for _, field := range bytes.Fields(content) {
		if string(field) == word {
			return true
		}
	}
	return false
}
