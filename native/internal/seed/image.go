package seed

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/event"
)

const (
	packer     = "sqfstar"
	buffer     = 256 << 10
	pipeBuffer = 1 << 20
	lastWords  = 4 << 10
)

// image is a squashfs in the making: a tar stream into sqfstar.
type image struct {
	*tar.Writer
	buffered *bufio.Writer
	pipe     *os.File
	process  *exec.Cmd
	said     tail
}

// startImage starts the packing into path. newest, in seconds, stands for the
// times of directories that the stream does not name, so that the image
// depends on its content only.
func startImage(ctx context.Context, path string, rootMode uint32, newest int64) (*image, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	if raw, err := write.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBuffer) })
	}
	i := &image{pipe: write}
	i.process = exec.CommandContext(ctx, packer,
		"-quiet", "-no-progress", "-exit-on-error", "-noI", "-noD", "-noF", "-noX", "-all-root",
		"-root-mode", strconv.FormatUint(uint64(rootMode), 8), "-mem", "256M", path)
	i.process.Stdin, i.process.Stdout, i.process.Stderr = read, &i.said, &i.said
	i.process.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "SOURCE_DATE_EPOCH=" + strconv.FormatInt(newest, 10)}
	i.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := i.process.Start(); err != nil {
		write.Close()
		if errors.Is(err, exec.ErrNotFound) {
			return nil, event.Errorf("no_packer", "%s is not installed; it comes with squashfs-tools", packer)
		}
		return nil, err
	}
	i.buffered = bufio.NewWriterSize(write, buffer)
	i.Writer = tar.NewWriter(i.buffered)
	return i, nil
}

// finish ends the stream and waits for the image. cause is why the stream
// could not be written, if it could not.
func (i *image) finish(ctx context.Context, cause error) error {
	if cause == nil {
		cause = i.Close()
	}
	if cause == nil {
		cause = i.buffered.Flush()
	}
	if cause != nil && !errors.Is(cause, unix.EPIPE) {
		i.process.Process.Kill()
	}
	i.pipe.Close()
	ended := i.process.Wait()
	switch {
	case ctx.Err() != nil:
		return event.Errorf("cancelled", "packing was called off")
	case cause != nil && !errors.Is(cause, unix.EPIPE):
		return cause
	case ended != nil || cause != nil:
		return i.failure(ended)
	}
	return nil
}

func (i *image) failure(ended error) error {
	said := strings.TrimSpace(string(i.said.data))
	if strings.Contains(said, unix.ENOSPC.Error()) || strings.Contains(said, "No space left on device") {
		return event.Errorf("no_space", "%s: no space left on device", packer)
	}
	return event.Errorf("pack_failed", "%s: %v: %s", packer, ended, said)
}

// timeOf is a time as squashfs has it: whole seconds in 32 bits.
func timeOf(nanoseconds int64) time.Time {
	return time.Unix(min(max(nanoseconds/int64(time.Second), 0), 1<<32-1), 0)
}

// tail keeps the end of what the packer says.
type tail struct{ data []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if over := len(t.data) - lastWords; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
	}
	return len(p), nil
}

// zeros pads a file that became shorter while it was read.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// onlyWriter keeps io.CopyBuffer from looking for shortcuts that would leave its buffer unused.
type onlyWriter struct{ io.Writer }

type onlyReader struct{ io.Reader }
