package workload

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"pyro/native/internal/mounts"
)

// Where the agent mounts what the workload's root is made of.
const (
	environmentDir = "/pyro/environment"
	scratchDir     = "/pyro/scratch"
	preparedDir    = "/pyro/prepared"
	diskDir        = "/pyro/disk"
	seedDir        = "/pyro/seed"
	emptyDir       = "/pyro/empty"
)

// mountPoints of a root that the agent mounts on, or moves a mount to.
var mountPoints = []struct {
	name string
	mode uint32
}{{"proc", 0o755}, {"sys", 0o755}, {"dev", 0o755}, {"run", 0o755}, {"tmp", 0o1777}, {"workspace", 0o755}}

// moved are the mounts that follow the workload from its prepared root to its
// own, with all below them.
var moved = []string{"proc", "sys", "dev", "run"}

const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// systemMounts are made in the prepared root, in this order. All the files that
// they can hold leave memory for programs, such as one that removes them.
var systemMounts = []mounts.Mount{
	{Source: "proc", Target: "proc", Type: "proc", Flags: quiet},
	{Source: "sysfs", Target: "sys", Type: "sysfs", Flags: quiet | unix.MS_RDONLY},
	{Source: "cgroup2", Target: "sys/fs/cgroup", Type: "cgroup2", Flags: quiet},
	{Source: "dev", Target: "dev", Type: "tmpfs", Flags: unix.MS_NOSUID, Options: "mode=755,size=1m"},
	{Source: "devpts", Target: "dev/pts", Type: "devpts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Options: "newinstance,ptmxmode=0666,mode=0620,gid=5"},
	{Source: "shm", Target: "dev/shm", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Options: "mode=1777,size=50%"},
	{Source: "mqueue", Target: "dev/mqueue", Type: "mqueue", Flags: quiet},
	{Source: "run", Target: "run", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Options: "mode=755,size=10%"},
}

var devices = []struct {
	name         string
	major, minor uint32
}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}

var deviceLinks = [][2]string{
	{"pts/ptmx", "ptmx"}, {"/proc/self/fd", "fd"},
	{"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
}

// hidden are the agent's mounts, of which the workload keeps nothing.
var hidden = []string{"/proc", "/sys", "/dev", "/run", "/tmp", scratchDir, environmentDir}

// enterRoot builds the workload's root over the environment, with a scratch
// layer in memory, and makes it the root of this mount namespace.
func enterRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unshare the cgroup namespace: %w", err)
	}
	scratch := mounts.Mount{Source: "scratch", Target: scratchDir, Type: "tmpfs", Options: "mode=755"}
	if err := scratch.Do(); err != nil {
		return err
	}
	upper, work := scratchDir+"/upper", scratchDir+"/work"
	for _, dir := range []string{upper, work, preparedDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := makeMountPoints(upper, environmentDir); err != nil {
		return err
	}
	root, err := mounts.Overlay(environmentDir, upper, work)
	if err != nil {
		return err
	}
	if err := mounts.Place(root, unix.AT_FDCWD, preparedDir); err != nil {
		return err
	}
	unix.Close(root)
	if err := os.Chdir(preparedDir); err != nil {
		return err
	}
	for _, mount := range systemMounts {
		if err := mount.Do(); err != nil {
			return err
		}
	}
	if err := makeDevices(); err != nil {
		return err
	}
	for _, dir := range hidden {
		unix.Unmount(dir, unix.MNT_DETACH)
	}
	return becomeRoot()
}

// becomeRoot makes the working directory, a mount, the root. The initramfs has
// no parent mount, so that pivot_root cannot take its place.
func becomeRoot() error {
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}

// makeMountPoints makes in an upper directory what the lower one lacks.
func makeMountPoints(upper, lower string) error {
	for _, point := range mountPoints {
		var st unix.Stat_t
		if unix.Lstat(lower+"/"+point.name, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			continue
		}
		dir := upper + "/" + point.name
		if err := unix.Mkdir(dir, point.mode); err != nil && err != unix.EEXIST {
			return &os.PathError{Op: "mkdir", Path: dir, Err: err}
		}
		if err := unix.Chmod(dir, point.mode); err != nil {
			return &os.PathError{Op: "chmod", Path: dir, Err: err}
		}
	}
	return nil
}

func makeDevices() error {
	for _, device := range devices {
		path := "dev/" + device.name
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(device.major, device.minor))); err != nil {
			return &os.PathError{Op: "mknod", Path: path, Err: err}
		}
		if err := unix.Chmod(path, 0o666); err != nil {
			return err
		}
	}
	for _, link := range deviceLinks {
		if err := unix.Symlink(link[0], "dev/"+link[1]); err != nil {
			return err
		}
	}
	return nil
}

func cString(s string) unsafe.Pointer {
	b, _ := unix.BytePtrFromString(s)
	return unsafe.Pointer(b)
}
