package monitor

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"pyro/native/internal/confine"
	"pyro/native/internal/event"
)

// environment is what the VMM gets of ours. The rest may hold secrets, and a
// guest that breaks out must not find them in the VMM's memory.
var environment = []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "LD_LIBRARY_PATH"}

// unrunnable is what the kernel says of a file that is no program for us.
var unrunnable = []error{unix.ENOENT, unix.EACCES, unix.ENOEXEC}

// findVMM is the program that argv[0] names.
func findVMM(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil || errors.Is(err, exec.ErrDot) {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", event.Errorf("no_vmm", "%s cannot be run: %v", name, err)
	}
	return path, nil
}

// start runs the VMM. It belongs on the main thread: the parent-death signal
// follows the thread that started the child.
func (m *machine) start(path string) (pid int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	files := []uintptr{null.Fd(), m.output.Fd(), m.output.Fd()}
	replace := []string{"{directory}", m.spec.Directory}
	for name, number := range m.spec.inherited() {
		replace = append(replace, "{"+name+"}", strconv.Itoa(number))
	}
	for _, name := range m.spec.names() {
		files = append(files, m.descriptors[name].Fd())
	}
	for _, lock := range m.held {
		files = append(files, lock.Fd())
	}
	argv := slices.Clone(m.spec.Argv)
	replacer := strings.NewReplacer(replace...)
	for i := range argv {
		argv[i] = replacer.Replace(argv[i])
	}
	if pid, err = m.spawn(path, argv, files); err == nil {
		m.closeInherited()
	}
	return pid, err
}

// spawn starts the VMM, confined where the spec says so.
func (m *machine) spawn(path string, argv []string, files []uintptr) (pid int, err error) {
	if m.spec.Confine != nil {
		command := confine.Command{ID: m.spec.ID, Path: path, Argv: argv, Env: m.environ(), Dir: m.spec.Directory, Files: files}
		if m.confined, err = confine.Start(m.spec.Confine, command); err == nil {
			return m.confined.PID, nil
		}
	} else {
		pid, err = syscall.ForkExec(path, argv, &syscall.ProcAttr{
			Dir:   m.spec.Directory,
			Env:   m.environ(),
			Files: files,
			Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL},
		})
		if err == nil {
			return pid, nil
		}
		err = &os.PathError{Op: "start", Path: path, Err: err}
	}
	var failed *os.PathError
	if errors.As(err, &failed) && failed.Path == path && slices.Contains(unrunnable, failed.Err) {
		return 0, event.Errorf("no_vmm", "%s cannot be run: %v", path, failed.Err)
	}
	return 0, err
}

func (m *machine) environ() []string {
	var env []string
	for _, name := range environment {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return append(env, m.spec.Env...)
}

// ended is closed when pid has ended. It is not reaped yet, so that its number stays its own.
func ended(pid int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	return done
}

// kill ends the VMM and whatever it started in its own process group.
func kill(pid int) {
	unix.Kill(-pid, unix.SIGKILL)
}

// reap takes the state of a VMM that has ended and leaves nothing that it started.
func (m *machine) reap(pid int) unix.WaitStatus {
	kill(pid)
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &status, 0, nil); err != unix.EINTR {
			break
		}
	}
	killOrphans()
	if m.confined != nil {
		m.confined.Finish()
	}
	return status
}
