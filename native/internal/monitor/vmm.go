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

	"pyro/native/internal/event"
)

// environment is what the VMM gets of ours. The rest may hold secrets, and a
// guest that breaks out must not find them in the VMM's memory.
var environment = []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "LD_LIBRARY_PATH"}

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
	pid, err = syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Dir:   m.spec.Directory,
		Env:   m.environ(),
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL},
	})
	switch err {
	case nil:
		m.closeInherited()
		return pid, nil
	case unix.ENOENT, unix.EACCES, unix.ENOEXEC:
		return 0, event.Errorf("no_vmm", "%s cannot be run: %v", path, err)
	}
	return 0, &os.PathError{Op: "start", Path: path, Err: err}
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

// reapVMM takes the state of a VMM that has ended and leaves nothing that it started.
func reapVMM(pid int) unix.WaitStatus {
	kill(pid)
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &status, 0, nil); err != unix.EINTR {
			break
		}
	}
	killOrphans()
	return status
}
