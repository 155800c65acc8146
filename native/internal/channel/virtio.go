package channel

import (
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// VirtioPort is a virtio-serial port. While nobody is connected on the host's
// side its reads return nothing and its poll reports a hang-up, for which the
// runtime's edge-triggered poller wakes only when that changes.
type VirtioPort struct {
	file *os.File
	raw  syscall.RawConn
	// present is whether the current host has sent anything.
	present bool
}

// OpenVirtio opens the character device of a virtio-serial port.
func OpenVirtio(path string) (*VirtioPort, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &VirtioPort{file: file, raw: raw}, nil
}

func (p *VirtioPort) Read(b []byte) (n int, err error) {
	wait := p.raw.Read(func(fd uintptr) bool {
		n, err = read(int(fd), b)
		switch {
		case err == unix.EAGAIN:
			return false
		case err != nil:
			n = 0
		case n > 0:
			p.present = true
		case !p.present:
			return false
		default:
			p.present = false
			err = ErrHangup
		}
		return true
	})
	if wait != nil {
		return 0, wait
	}
	return n, err
}

func read(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// Write may lose bytes when the host leaves: its next session starts afresh.
func (p *VirtioPort) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	if err == io.ErrUnexpectedEOF {
		err = ErrHangup
	}
	return n, err
}

func (p *VirtioPort) SetReadDeadline(t time.Time) error  { return p.file.SetReadDeadline(t) }
func (p *VirtioPort) SetWriteDeadline(t time.Time) error { return p.file.SetWriteDeadline(t) }

// Close lets go of the device.
func (p *VirtioPort) Close() error { return p.file.Close() }
