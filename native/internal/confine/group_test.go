package confine

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
)

func unixListener(path string) (net.Listener, error) {
	listener, err := net.Listen("unix", path)
	if err == nil {
		os.Chmod(path, 0o666)
	}
	return listener, err
}

const mountinfo = `22 27 0:21 / /proc rw,relatime - proc proc rw
31 23 0:28 /user.slice /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
`

func TestTheHierarchyIsFoundWhereItIsMounted(t *testing.T) {
	h, err := parseHierarchy(mountinfo, "3:cpuset:/x\n0::/user.slice/user-1000.slice\n")
	if err != nil || h.mount != "/sys/fs/cgroup" || h.own != "/sys/fs/cgroup/user-1000.slice" {
		t.Errorf("%+v %v", h, err)
	}
	for _, c := range [][2]string{{"", "0::/\n"}, {mountinfo, "3:cpuset:/x\n"}, {mountinfo, "0::/system.slice\n"}} {
		if h, err := parseHierarchy(c[0], c[1]); err == nil {
			t.Errorf("%q: %+v", c, h)
		}
	}
}

// tree makes directories that look like control groups.
func tree(t *testing.T, groups map[string][2]string) hierarchy {
	t.Helper()
	root := t.TempDir()
	for path, controllers := range groups {
		dir := filepath.Join(root, path)
		os.MkdirAll(dir, 0o755)
		for name, content := range map[string]string{"cgroup.procs": "", "cgroup.controllers": controllers[0], "cgroup.subtree_control": controllers[1]} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return hierarchy{root, filepath.Join(root, "a/b")}
}

func TestTheNearestGroupWithControllersIsUsed(t *testing.T) {
	h := tree(t, map[string][2]string{"": {"memory pids", "memory pids"}, "a": {"cpu memory pids", "memory pids"}, "a/b": {"", ""}})
	if dir, err := h.delegated(); err != nil || dir != filepath.Join(h.mount, "a") {
		t.Error(dir, err)
	}
	h = tree(t, map[string][2]string{"": {"hugetlb", ""}, "a": {"", ""}, "a/b": {"", ""}})
	if dir, err := h.delegated(); err == nil {
		t.Error(dir)
	} else if err.Error() != h.mount+" has no memory controller" {
		t.Error(err)
	}
}

func TestAGroupHasTheLimitsOfItsVMM(t *testing.T) {
	g, err := newGroup(&Spec{MemoryMiB: 100, Threads: 20}, "test-limits")
	if err != nil {
		t.Skip(err)
	}
	for file, want := range map[string]string{"memory.max": "104857600\n", "pids.max": "20\n"} {
		if content, _ := os.ReadFile(filepath.Join(g.path, file)); string(content) != want {
			t.Errorf("%s: %q", file, content)
		}
	}
	vmm, _ := start(t, &Spec{MemoryMiB: 200, Threads: 50}, Questions{})
	if !vmm.Outcome.Limits {
		t.Fatal(vmm.Outcome)
	}
	if members, _ := os.ReadFile(filepath.Join(vmm.group.path, "cgroup.procs")); string(members) != fmt.Sprintln(vmm.PID) {
		t.Errorf("in the group: %q, the VMM is %d", members, vmm.PID)
	}
	g.remove()
	if _, err := os.Stat(g.path); !os.IsNotExist(err) {
		t.Error(err)
	}
}
