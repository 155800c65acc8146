package lockdown

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// restricted is a control group that the programs are attached to, on a host that allows it.
func restricted(t *testing.T) int {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	top := t.TempDir()
	if err := unix.Mount("cgroup2", top, "cgroup2", 0, ""); err != nil {
		t.Skip("cgroup2: ", err)
	}
	t.Cleanup(func() { unix.Unmount(top, unix.MNT_DETACH) })
	path, err := os.MkdirTemp(top, "pyro-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.Remove(path) })
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	switch err := Group(fd); {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL) && !strings.Contains(err.Error(), "load"):
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	return fd
}

// shell runs a script in a group and returns what it wrote.
func shell(t *testing.T, group int, script string) string {
	t.Helper()
	command := exec.Command("/bin/sh", "-c", script)
	command.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: group}
	said, err := command.CombinedOutput()
	if command.ProcessState == nil {
		t.Fatal(err)
	}
	return string(said)
}

func TestAGroupOpensOnlyTheDevicesOfAWorkload(t *testing.T) {
	group := restricted(t)
	said := shell(t, group, "head -c 1 /dev/zero | wc -c; head -c 1 /dev/urandom | wc -c; echo >/dev/null; head -c 0 /dev/ptmx; echo done")
	if said != "1\n1\ndone\n" {
		t.Error(said)
	}
	dir := t.TempDir()
	for name, node := range map[string]struct{ kind, major, minor int }{
		"memory": {unix.S_IFCHR, 1, 1}, "messages": {unix.S_IFCHR, 1, 11}, "loop": {unix.S_IFBLK, 7, 0}, "null": {unix.S_IFBLK, 1, 3}, "console": {unix.S_IFCHR, 5, 1},
	} {
		path := dir + "/" + name
		if err := unix.Mknod(path, uint32(node.kind)|0o600, int(unix.Mkdev(uint32(node.major), uint32(node.minor)))); err != nil {
			t.Skip(err)
		}
		if said := shell(t, group, "head -c 1 "+path); !strings.Contains(said, "Operation not permitted") {
			t.Errorf("%s: %q", name, said)
		}
	}
	if said := shell(t, group, "mknod "+dir+"/b b 7 0"); !strings.Contains(said, "Operation not permitted") {
		t.Error(said)
	}
}

func TestAGroupWritesNoSettingsButTheNetworks(t *testing.T) {
	group := restricted(t)
	for path, allowed := range map[string]bool{"kernel/core_pattern": false, "vm/swappiness": false, "net/ipv4/ip_default_ttl": true} {
		// What it would write is what there is.
		said := shell(t, group, "cat /proc/sys/"+path+" | tee /proc/sys/"+path+" >/dev/null")
		if (said == "") != allowed {
			t.Errorf("%s: %q", path, said)
		}
	}
}
