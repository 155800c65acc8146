package monitor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/confine"
	"pyro/native/internal/event"
	"pyro/native/internal/filelock"
	"pyro/native/internal/reap"
	"pyro/native/internal/sparse"
)

// lockPatience is how long a lock may be held by someone who is on the way
// out, such as the VMM of a monitor that was killed.
const lockPatience = 2 * time.Second

// machine is everything that a VMM needs before it starts, and that has to go after it ends.
type machine struct {
	spec *Spec
	made []string
	// copied are files outside of the directories; they stay once the VMM has started.
	copied  []string
	locks   []*os.File
	console *console
	// clients is nil unless the machine is detached.
	clients *clients
	// descriptors are those that the VMM inherits, by name.
	descriptors map[string]*os.File
	// held are locks that the VMM inherits, output is its stdout and stderr.
	held   []*os.File
	output *os.File
	// confined is nil for a VMM that runs as the user does.
	confined *confine.VMM
}

// prepare does each step in turn. The machine is to be removed whether or not it fails.
func (m *machine) prepare(ctx context.Context) error {
	m.descriptors = map[string]*os.File{}
	steps := []func(context.Context) error{
		m.makeDirectories, m.takeLocks, m.copyFiles, m.openFiles, m.listen, m.openConsole, m.listenToClients,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// undo is remove for a machine that never started.
func (m *machine) undo() error {
	var failures []error
	for _, path := range m.copied {
		failures = append(failures, os.Remove(path))
	}
	return errors.Join(append(failures, m.remove())...)
}

// remove ends what prepare made, in any state of it.
func (m *machine) remove() error {
	if m.console != nil {
		m.console.finish()
	}
	m.closeInherited()
	var failures []error
	for _, path := range m.made {
		failures = append(failures, reap.Remove(path))
	}
	for _, lock := range m.locks {
		lock.Close()
	}
	return errors.Join(failures...)
}

// closeInherited closes our ends of what the VMM has now.
func (m *machine) closeInherited() {
	for _, file := range m.descriptors {
		file.Close()
	}
	if m.output != nil {
		m.output.Close()
	}
}

func (m *machine) makeDirectories(context.Context) error {
	for _, path := range []string{m.spec.Directory, m.spec.Sockets} {
		if path == "" {
			continue
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
		m.made = append(m.made, path)
		lock, err := filelock.Create(path)
		if err != nil {
			return err
		}
		m.locks = append(m.locks, lock)
	}
	return nil
}

func (m *machine) takeLocks(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	for _, l := range m.spec.Locks {
		kind := filelock.Shared
		if l.Exclusive {
			kind = filelock.Exclusive
		}
		lock, err := filelock.Acquire(ctx, l.Path, kind, nil)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return event.Errorf("locked", "%s is locked by someone else", l.Path)
		case errors.Is(err, fs.ErrNotExist):
			return event.Errorf("gone", "%s does not exist", filepath.Dir(l.Path))
		case err != nil:
			return err
		}
		m.locks = append(m.locks, lock)
		if l.Inherit {
			m.held = append(m.held, lock)
		}
	}
	return nil
}

// inDirectory is where a path of the spec is: one that is not absolute is in the machine's directory.
func (m *machine) inDirectory(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(m.spec.Directory, path)
}

func (m *machine) copyFiles(ctx context.Context) error {
	for _, c := range m.spec.Copies {
		to := m.inDirectory(c.To)
		if err := sparse.Copy(ctx, c.From, to); err != nil {
			return err
		}
		if to == c.To {
			m.copied = append(m.copied, to)
		}
	}
	return nil
}

func (m *machine) openFiles(context.Context) error {
	for _, o := range m.spec.Open {
		flags := os.O_RDONLY
		if o.Write {
			flags = os.O_RDWR
		}
		file, err := os.OpenFile(m.inDirectory(o.Path), flags, 0)
		if err != nil {
			return err
		}
		m.descriptors[o.Name] = file
	}
	return nil
}

func (m *machine) listen(context.Context) error {
	for _, l := range m.spec.Listen {
		path := filepath.Join(m.spec.Sockets, l.File)
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		m.descriptors[l.Name] = os.NewFile(uintptr(fd), path)
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			return &os.PathError{Op: "bind", Path: path, Err: err}
		}
		if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
			return &os.PathError{Op: "listen", Path: path, Err: err}
		}
	}
	return nil
}

func (m *machine) openConsole(context.Context) error {
	console, serial, output, err := openConsole(m.spec.Console.Bytes)
	if err != nil {
		return err
	}
	m.console, m.output = console, output
	if m.spec.Console.Name == "" {
		return serial.Close()
	}
	m.descriptors[m.spec.Console.Name] = serial
	return nil
}

func (m *machine) listenToClients(context.Context) (err error) {
	if m.spec.Detached != nil {
		m.clients, err = listenToClients(m.spec.Sockets, m.spec.Detached.lease())
	}
	return err
}
