// Package boot is what PID 1 does before it can serve: it mounts the kernel's
// file systems, loads modules and finds the channels to the host.
package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/lockdown"
	"pyro/native/internal/mounts"
)

const (
	moduleList = "/modules.list"
	moduleDir  = "/modules"
	program    = "/init"
	portsDir   = "/sys/class/virtio-ports"
	vsock      = "/dev/vsock"
)

const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

var kernelMounts = []mounts.Mount{
	{Source: "proc", Target: "/proc", Type: "proc", Flags: quiet},
	{Source: "sysfs", Target: "/sys", Type: "sysfs", Flags: quiet},
	{Source: "dev", Target: "/dev", Type: "devtmpfs", Flags: unix.MS_NOSUID, Options: "mode=755"},
	{Source: "run", Target: "/run", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Options: "mode=755"},
	{Source: "tmp", Target: "/tmp", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Options: "mode=1777"},
	{Source: "cgroup2", Target: "/sys/fs/cgroup", Type: "cgroup2", Flags: quiet},
}

// Limits of open files that processes start with: the soft one is what programs
// that close every possible descriptor can bear.
var openFiles = syscall.Rlimit{Cur: 16384, Max: 1 << 20}

// Machine readies the machine. What it cannot do is told on the console, and is
// missing later.
func Machine() {
	for _, mount := range kernelMounts {
		report(mount.Do())
	}
	report(loadModules())
	report(lockdown.Kernel())
	report(os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0))
	report(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &openFiles))
	report(loopbackUp())
}

// loadModules loads what the initramfs brought, and frees its memory.
func loadModules() error {
	list, err := os.ReadFile(moduleList)
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		if err := loadModule(filepath.Join(moduleDir, name)); err != nil {
			return err
		}
	}
	for _, path := range []string{moduleDir, moduleList, program} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

func loadModule(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return fmt.Errorf("load %s: %w", path, err)
	}
	return nil
}

// loopbackUp lets processes of the guest reach each other.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}

// Channels are the ways to the host that this machine has.
type Channels struct {
	// Port is the device of the virtio-serial port, if there is one.
	Port  string
	Vsock bool
}

// FindChannels waits for the devices of a channel to appear.
func FindChannels(portName string) Channels {
	for {
		found := Channels{Port: findPort(portName)}
		_, err := os.Stat(vsock)
		found.Vsock = err == nil
		if found.Port != "" || found.Vsock {
			return found
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func findPort(name string) string {
	files, _ := filepath.Glob(portsDir + "/*/name")
	for _, file := range files {
		content, _ := os.ReadFile(file)
		device := "/dev/" + filepath.Base(filepath.Dir(file))
		if _, err := os.Stat(device); err == nil && strings.TrimSpace(string(content)) == name {
			return device
		}
	}
	return ""
}

func report(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "pyro-agent:", err)
	}
}
