package lockdown

import (
	"errors"

	"golang.org/x/sys/unix"
)

// anyMinor stands for every minor number of a device's major one.
const anyMinor = -1

// devices are the character devices that the workload can open, wherever it
// finds a node of one. No block device is among them.
var devices = []struct{ major, minor int32 }{
	{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, // null, zero, full, random, urandom
	{5, 0}, {5, 2}, {136, anyMinor}, // tty, ptmx, pts
	{10, 200}, {10, 229}, // net/tun, fuse
}

// Group restricts every process of a control group, and of those below it, to
// the devices of the workload, and lets it write no settings but the network's:
// by some of the others the kernel runs a program of its writer's choice outside
// of every group.
func Group(fd int) error {
	return errors.Join(
		deviceProgram().attach(fd, unix.BPF_PROG_TYPE_CGROUP_DEVICE, unix.BPF_CGROUP_DEVICE),
		settingProgram().attach(fd, unix.BPF_PROG_TYPE_CGROUP_SYSCTL, unix.BPF_CGROUP_SYSCTL),
	)
}

// deviceProgram is asked whenever a device is opened, mounted or its node made.
// Its context is struct bpf_cgroup_dev_ctx: kind and access, major, minor.
func deviceProgram() (p program) {
	const kind, major, minor = 2, 3, 4
	p.load(unix.BPF_W, kind, 1, 0)
	p.instruction(unix.BPF_ALU64|unix.BPF_AND|unix.BPF_K, kind, 0, 0, 0xffff)
	p.load(unix.BPF_W, major, 1, 4)
	p.load(unix.BPF_W, minor, 1, 8)
	p.instruction(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, kind, 0, 2, unix.BPF_DEVCG_DEV_CHAR)
	p.verdict(refuse)
	for _, device := range devices {
		if device.minor == anyMinor {
			p.skipUnless(major, device.major, 2)
		} else {
			p.skipUnless(major, device.major, 3)
			p.skipUnless(minor, device.minor, 2)
		}
		p.verdict(allow)
	}
	p.verdict(refuse)
	return p
}

// settingProgram is asked about every read and write below /proc/sys. Its
// context is struct bpf_sysctl, which begins with whether it is a write.
func settingProgram() (p program) {
	const context, frame, nameSize, getName = 6, 10, 16, 101
	p.copy(context, 1)
	p.load(unix.BPF_W, 2, context, 0)
	p.skipUnless(2, 0, 2)
	p.verdict(allow)
	// The name goes to the stack, cut to what fits.
	for at := int16(-nameSize); at < 0; at += 8 {
		p.instruction(unix.BPF_ST|unix.BPF_MEM|unix.BPF_DW, frame, 0, at, 0)
	}
	p.copy(1, context)
	p.copy(2, frame)
	p.instruction(unix.BPF_ALU64|unix.BPF_ADD|unix.BPF_K, 2, 0, 0, -nameSize)
	p.set(3, nameSize)
	p.set(4, 0)
	p.instruction(unix.BPF_JMP|unix.BPF_CALL, 0, 0, 0, getName)
	p.load(unix.BPF_W, 2, frame, -nameSize)
	p.skipUnless(2, 'n'|'e'<<8|'t'<<16|'/'<<24, 2)
	p.verdict(allow)
	p.verdict(refuse)
	return p
}
