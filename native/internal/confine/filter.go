package confine

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data.
const (
	offsetNumber    = 0
	offsetArch      = 4
	offsetArguments = 16
)

const (
	allow = unix.SECCOMP_RET_ALLOW
	deny  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	// absent is for what programs do without where the kernel has not got it.
	absent = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// program is a classic BPF program in the making.
type program []unix.SockFilter

func (p *program) add(code uint16, k uint32, jt, jf uint8) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (p *program) load(offset uint32)   { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }
func (p *program) argument(n int)       { p.load(offsetArguments + 8*uint32(n)) }
func (p *program) result(action uint32) { p.add(unix.BPF_RET|unix.BPF_K, action, 0, 0) }

// when lets what body adds run when a value is loaded that compares so. The body has to end with a result.
func (p *program) when(comparison uint16, k uint32, body func(*program)) {
	var inner program
	body(&inner)
	p.add(unix.BPF_JMP|comparison|unix.BPF_K, k, 0, uint8(len(inner)))
	*p = append(*p, inner...)
}

func (p *program) equals(k uint32, action uint32) {
	p.when(unix.BPF_JEQ, k, func(inner *program) { inner.result(action) })
}

// filter keeps a VMM from what no VMM needs: other namespaces, other
// processes, the kernel's administration, and parts of the kernel that are
// large and often broken. It counts also where there are no namespaces.
func filter(plan *plan) program {
	p := &program{}
	p.load(offsetArch)
	p.when(unix.BPF_JEQ, unix.AUDIT_ARCH_X86_64, func(inner *program) {
		inner.load(offsetNumber)
		inner.add(unix.BPF_JMP|unix.BPF_JA, 1, 0, 0)
	})
	p.result(unix.SECCOMP_RET_KILL_PROCESS)
	// The numbers of the x32 interface.
	p.when(unix.BPF_JGE, 0x40000000, func(inner *program) { inner.result(absent) })
	for _, number := range denied {
		p.equals(number, deny)
	}
	for _, number := range missing {
		p.equals(number, absent)
	}
	p.when(unix.BPF_JEQ, unix.SYS_CLONE, func(inner *program) {
		inner.argument(0)
		inner.when(unix.BPF_JSET, newNamespaces, func(p *program) { p.result(deny) })
		inner.result(allow)
	})
	p.when(unix.BPF_JEQ, unix.SYS_IOCTL, func(inner *program) {
		inner.argument(1)
		inner.equals(unix.TIOCSTI, deny)
		inner.equals(unix.TIOCLINUX, deny)
		inner.result(allow)
	})
	p.when(unix.BPF_JEQ, unix.SYS_SOCKET, func(inner *program) {
		if plan.Connect {
			inner.argument(0)
			inner.equals(unix.AF_UNIX, allow)
		}
		inner.result(unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT))
	})
	if plan.Lender != "" {
		p.lend(unix.SYS_OPENAT, 2, plan.LendReads)
		p.lend(unix.SYS_OPEN, 1, plan.LendReads)
	}
	p.result(allow)
	return *p
}

// lend asks the lender about files that are opened for reading and writing and with no other wish.
func (p *program) lend(number uint32, flags int, reads bool) {
	p.when(unix.BPF_JEQ, number, func(inner *program) {
		inner.argument(flags)
		inner.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, ^uint32(unix.O_CLOEXEC|0x8000), 0, 0) // 0x8000: O_LARGEFILE
		inner.equals(unix.O_RDWR, unix.SECCOMP_RET_USER_NOTIF)
		if reads {
			inner.equals(unix.O_RDONLY, unix.SECCOMP_RET_USER_NOTIF)
		}
		inner.result(allow)
	})
}

// install puts the filter on this thread. With listening it returns what the lender listens to.
func (p program) install(listening bool) (listener int, err error) {
	var flags uintptr
	if listening {
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	fprog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}
