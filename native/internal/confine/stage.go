package confine

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// hostName is that of every VMM, in place of the host's.
const hostName = "vmm"

// maxFiles is how many descriptors a VMM may have open.
const maxFiles = 1024

// Stage is `pyro-host confine FD`, started by Start. It becomes the VMM, or
// tells through descriptor FD why not and ends. It must run on the main
// thread, which must be locked to its goroutine: rights are a thread's.
func Stage(args []string) error {
	if len(args) != 1 {
		return errors.New("confine is for the monitor's use")
	}
	number, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	unix.CloseOnExec(number)
	monitor := os.NewFile(uintptr(number), "monitor")
	if err := dieWith(number); err != nil {
		return err
	}
	buffer := make([]byte, maxMessage)
	n, err := monitor.Read(buffer)
	if err != nil {
		return err
	}
	var p plan
	if err := json.Unmarshal(buffer[:n], &p); err != nil {
		return err
	}
	line, err := json.Marshal(p.become(number))
	if err == nil {
		monitor.Write(line)
	}
	os.Exit(1)
	return nil
}

// dieWith makes us die with the monitor. The kernel forgets that wish with
// every change of rights. A monitor that died before the wish has closed its
// end of the channel.
func dieWith(monitor int) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	events := []unix.PollFd{{Fd: int32(monitor), Events: unix.POLLRDHUP}}
	if n, err := unix.Poll(events, 0); err != nil && err != unix.EINTR {
		return err
	} else if n > 0 && events[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0 {
		os.Exit(1)
	}
	return nil
}

// become returns only when it fails.
func (p *plan) become(monitor int) failure {
	steps := []struct {
		feature string
		do      func() error
	}{
		{Namespaces, p.enter},
		{"", p.limit},
		{"", dropBounding},
		{User, p.setUser},
		{"", dropCapabilities},
		{"", func() error { return dieWith(monitor) }},
		{Lender, func() error { return p.filter(monitor) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			f := failure{Feature: step.feature, Reason: err.Error()}
			errors.As(err, &f.Errno)
			return f
		}
	}
	err := syscall.Exec(p.Path, p.Argv, p.Env)
	f := failure{Program: true, Reason: err.Error()}
	errors.As(err, &f.Errno)
	return f
}

func (p *plan) enter() error {
	if !p.Namespaces {
		return unix.Chdir(p.Directory)
	}
	if err := unix.Sethostname([]byte(hostName)); err != nil {
		return os.NewSyscallError("sethostname", err)
	}
	return p.View.enter(p.Directory)
}

func (p *plan) limit() error {
	limits := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: maxFiles, unix.RLIMIT_MSGQUEUE: 0}
	if p.User != 0 && p.Threads > 0 {
		limits[unix.RLIMIT_NPROC] = uint64(p.Threads)
	}
	for resource, most := range limits {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(resource, &limit); err != nil {
			return err
		}
		limit.Max = min(limit.Max, most)
		limit.Cur = limit.Max
		if err := syscall.Setrlimit(resource, &limit); err != nil {
			return os.NewSyscallError("setrlimit", err)
		}
	}
	return nil
}

// filter is the last step: what it takes away we need no more.
func (p *plan) filter(monitor int) error {
	listener, err := filter(p).install(p.Lender != "")
	if err != nil {
		return os.NewSyscallError("seccomp", err)
	}
	if p.Lender == "" {
		return nil
	}
	if err := unix.Sendmsg(monitor, []byte("listener"), unix.UnixRights(listener), nil, 0); err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	unix.Close(listener)
	fd, err := unix.Open(p.Lender, unix.O_RDWR, 0)
	if err != nil {
		return &os.PathError{Op: "open through the monitor", Path: p.Lender, Err: err}
	}
	return unix.Close(fd)
}
