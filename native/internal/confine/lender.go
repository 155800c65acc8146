package confine

import (
	"bytes"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lender answers a VMM's attempts to open its files with descriptors that we
// open: for reading, what a VMM insists on opening for writing but only maps
// privately; and all of them for a VMM whose user may open nothing that is ours.
// What the VMM opens otherwise goes on as if nobody had looked, with the rights
// that the VMM has, so that a path changed under our eyes gains nothing.
type lender struct {
	listener int
	// flags are those with which a path is opened.
	flags map[string]int
}

// notification is struct seccomp_notif.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	value int64
	err   int32
	flags uint32
}

// addition is struct seccomp_notif_addfd.
type addition struct {
	id       uint64
	flags    uint32
	source   uint32
	target   uint32
	newFlags uint32
}

const (
	receive = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	send    = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	add     = 0x40182103 // SECCOMP_IOCTL_NOTIF_ADDFD
)

func newLender(listener int, spec *Spec) *lender {
	l := &lender{listener, map[string]int{}}
	for _, path := range append(usualDevices, spec.Devices...) {
		l.flags[path] = unix.O_RDWR
	}
	for _, path := range append(spec.Read, spec.Lend...) {
		l.flags[path] = unix.O_RDONLY
	}
	for _, path := range spec.Write {
		l.flags[path] = unix.O_RDWR
	}
	return l
}

// serve answers until the VMM has ended.
func (l *lender) serve() {
	defer unix.Close(l.listener)
	for {
		events := []unix.PollFd{{Fd: int32(l.listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(events, -1); err == unix.EINTR {
			continue
		} else if err != nil || events[0].Revents&unix.POLLIN == 0 {
			return
		}
		var n notification
		// Fails with ENOENT when the thread that called has gone again.
		if l.ioctl(receive, unsafe.Pointer(&n)) == nil {
			l.answer(n)
		}
	}
}

func (l *lender) answer(n notification) {
	pathAt, flagsAt := 1, 2
	if n.nr == unix.SYS_OPEN {
		pathAt, flagsAt = 0, 1
	}
	path, err := readPath(int(n.pid), uintptr(n.args[pathAt]))
	if err != nil {
		l.refuse(n, unix.EACCES)
		return
	}
	flags, ours := l.flags[path]
	if !ours {
		l.ioctl(send, unsafe.Pointer(&response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}))
		return
	}
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		l.refuse(n, err.(unix.Errno))
		return
	}
	defer unix.Close(fd)
	l.lend(n, fd, uint32(n.args[flagsAt])&unix.O_CLOEXEC)
}

// lend puts a descriptor into the VMM and lets it be the result of its call.
func (l *lender) lend(n notification, fd int, newFlags uint32) {
	a := addition{id: n.id, source: uint32(fd), newFlags: newFlags, flags: unix.SECCOMP_ADDFD_FLAG_SEND}
	if l.ioctl(add, unsafe.Pointer(&a)) != unix.EINVAL {
		return
	}
	// Before Linux 5.14 it takes two steps.
	a.flags = 0
	number, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(l.listener), add, uintptr(unsafe.Pointer(&a)))
	if err != 0 {
		l.refuse(n, unix.EACCES)
		return
	}
	l.ioctl(send, unsafe.Pointer(&response{id: n.id, value: int64(number)}))
}

func (l *lender) refuse(n notification, err unix.Errno) {
	l.ioctl(send, unsafe.Pointer(&response{id: n.id, err: -int32(err)}))
}

func (l *lender) ioctl(request uintptr, argument unsafe.Pointer) error {
	for {
		_, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(l.listener), request, uintptr(argument))
		runtime.KeepAlive(argument)
		switch err {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return err
		}
	}
}

// readPath reads a text that ends with NUL from the memory of a thread.
func readPath(pid int, address uintptr) (string, error) {
	var buffer [unix.PathMax]byte
	page := uintptr(os.Getpagesize())
	first := page - address%page
	// What is transferred is whole pieces, and the page after the text's last may not be there.
	remote := []unix.RemoteIovec{{Base: address, Len: int(first)}, {Base: address + first, Len: len(buffer) - int(first)}}
	if int(first) >= len(buffer) {
		remote = []unix.RemoteIovec{{Base: address, Len: len(buffer)}}
	}
	local := []unix.Iovec{{Base: &buffer[0], Len: uint64(len(buffer))}}
	n, err := unix.ProcessVMReadv(pid, local, remote, 0)
	if err != nil {
		return "", err
	}
	text, _, found := bytes.Cut(buffer[:n], []byte{0})
	if !found {
		return "", unix.ENAMETOOLONG
	}
	return string(text), nil
}
