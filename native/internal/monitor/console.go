package monitor

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	drainBuffer = 16 << 10
	// lastBytes bounds what is read after the VMM's end; a process that it left behind may go on writing.
	lastBytes = 1 << 20
)

// console keeps the tail of the serial console and of the VMM's own output. It
// reads all the time, so that neither can ever block the VMM.
type console struct {
	*ring
	sources []*os.File
	drains  sync.WaitGroup
}

// openConsole makes the two channels and returns the VMM's ends of them.
func openConsole(bytes int) (c *console, serial, output *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, nil, os.NewSyscallError("socketpair", err)
	}
	unix.SetNonblock(pair[0], true)
	read := os.NewFile(uintptr(pair[0]), "console")
	serial = os.NewFile(uintptr(pair[1]), "console of the VMM")
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		read.Close()
		serial.Close()
		return nil, nil, nil, os.NewSyscallError("pipe2", err)
	}
	unix.SetNonblock(pipe[0], true)
	output = os.NewFile(uintptr(pipe[1]), "output of the VMM")
	c = &console{ring: newRing(bytes)}
	c.sources = []*os.File{read, os.NewFile(uintptr(pipe[0]), "output")}
	for _, source := range c.sources {
		c.drains.Go(func() { c.drain(source) })
	}
	return c, serial, output, nil
}

func (c *console) drain(source *os.File) {
	buffer := make([]byte, drainBuffer)
	for {
		n, err := source.Read(buffer)
		c.Write(buffer[:n])
		if err != nil {
			return
		}
	}
}

// finish takes what the VMM wrote before its end and closes the console.
func (c *console) finish() {
	for _, source := range c.sources {
		source.SetReadDeadline(time.Unix(1, 0))
	}
	c.drains.Wait()
	for _, source := range c.sources {
		c.takeRest(source)
		source.Close()
	}
}

func (c *console) takeRest(source *os.File) {
	raw, err := source.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		io.Copy(c.ring, io.LimitReader(available(fd), lastBytes))
	})
}

// available reads what a non-blocking descriptor has now.
type available uintptr

func (fd available) Read(p []byte) (int, error) {
	n, err := unix.Read(int(fd), p)
	switch {
	case errors.Is(err, unix.EINTR):
		return 0, nil
	case err != nil || n <= 0:
		return 0, io.EOF
	}
	return n, nil
}
