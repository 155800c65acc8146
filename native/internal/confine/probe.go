package confine

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Questions is what a probe tries in a VMM's place. The argument of
// `pyro-host probe` is one as JSON.
type Questions struct {
	// See are paths to look for.
	See []string `json:"see"`
	// Dial are addresses to connect to, such as "tcp 127.0.0.1:80" and "unix @name".
	Dial []string `json:"dial"`
	// Signal are process ids.
	Signal []int `json:"signal"`
	// Write are files to open for reading and writing and to write to.
	Write []string `json:"write"`
	// Stay keeps the probe alive until it is killed.
	Stay bool `json:"stay"`
}

// Answers is what came of it. An error is its text, a success "ok".
type Answers struct {
	User         int               `json:"user"`
	Group        int               `json:"group"`
	Groups       []int             `json:"groups"`
	PID          int               `json:"pid"`
	HostName     string            `json:"host_name"`
	Directory    string            `json:"directory"`
	Root         []string          `json:"root"`
	Capabilities string            `json:"capabilities"`
	NoNewPrivs   bool              `json:"no_new_privs"`
	Seccomp      int               `json:"seccomp"`
	DeathSignal  int               `json:"death_signal"`
	See          map[string]string `json:"see"`
	Dial         map[string]string `json:"dial"`
	Signal       map[string]string `json:"signal"`
	Write        map[string]string `json:"write"`
	// Call are system calls that no VMM needs.
	Call map[string]string `json:"call"`
	// Files and Core are limits.
	Files uint64 `json:"files"`
	Core  uint64 `json:"core"`
}

// Probe is `pyro-host probe QUESTIONS`: one line with the answers.
func Probe(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("probe is for tests and for doctor")
	}
	var q Questions
	if err := json.Unmarshal([]byte(args[0]), &q); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(q.ask()); err != nil {
		return err
	}
	for q.Stay {
		unix.Pause()
	}
	return nil
}

func (q *Questions) ask() Answers {
	held, _ := capabilities()
	a := Answers{User: os.Getuid(), Group: os.Getgid(), PID: os.Getpid(), Capabilities: strconv.FormatUint(held, 16),
		See: map[string]string{}, Dial: map[string]string{}, Signal: map[string]string{}, Write: map[string]string{}}
	a.Groups, _ = os.Getgroups()
	a.HostName, _ = os.Hostname()
	a.Directory, _ = os.Getwd()
	a.Root = list("/")
	privileges, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	a.NoNewPrivs = privileges == 1
	a.Seccomp, _ = unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	var signal int32
	unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&signal)), 0, 0, 0)
	a.DeathSignal = int(signal)
	a.Files, a.Core = limitNow(unix.RLIMIT_NOFILE), limitNow(unix.RLIMIT_CORE)
	for _, path := range q.See {
		_, err := os.Lstat(path)
		a.See[path] = text(err)
	}
	for _, address := range q.Dial {
		network, target, _ := strings.Cut(address, " ")
		connection, err := net.Dial(network, target)
		if err == nil {
			connection.Close()
		}
		a.Dial[address] = text(err)
	}
	for _, pid := range q.Signal {
		a.Signal[strconv.Itoa(pid)] = text(unix.Kill(pid, 0))
	}
	for _, path := range q.Write {
		a.Write[path] = text(tryWrite(path))
	}
	a.Call = tryCalls()
	return a
}

func list(directory string) []string {
	names := []string{}
	entries, _ := os.ReadDir(directory)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func limitNow(resource int) uint64 {
	var limit syscall.Rlimit
	syscall.Getrlimit(resource, &limit)
	return limit.Max
}

// tryWrite opens a file as QEMU opens memory. What it reads first says whether the file is there.
func tryWrite(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Pread(fd, make([]byte, 1), 0); err != nil {
		return os.NewSyscallError("read", err)
	}
	_, err = unix.Pwrite(fd, []byte("!"), 0)
	return os.NewSyscallError("write", err)
}

func tryCalls() map[string]string {
	calls := map[string]string{
		"unshare": text(unix.Unshare(unix.CLONE_NEWUSER)),
		"mount":   text(unix.Mount("none", "/", "tmpfs", 0, "")),
		"chroot":  text(unix.Chroot("/")),
	}
	for name, number := range map[string]uintptr{"io_uring_setup": unix.SYS_IO_URING_SETUP, "bpf": unix.SYS_BPF, "keyctl": unix.SYS_KEYCTL, "perf_event_open": unix.SYS_PERF_EVENT_OPEN} {
		_, _, err := unix.RawSyscall(number, 0, 0, 0)
		calls[name] = text(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.Close(fd)
	}
	calls["socket"] = text(err)
	return calls
}

func text(err error) string {
	if err == nil || err == syscall.Errno(0) {
		return "ok"
	}
	return err.Error()
}
