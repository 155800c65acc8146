package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// start runs the command. A command that cannot be executed is an exec that
// has ended, with the reason on its stderr.
func start(place Place, spec Spec, ended func(*Exec)) (*Exec, error) {
	dir, err := place.Directory(spec.Dir)
	if err != nil {
		return nil, err
	}
	e := newExec(spec.ID)
	e.keepBackground = spec.KeepBackground
	if e.group, err = place.Group(spec.ID); err != nil {
		return nil, err
	}
	files, err := e.open(spec.Stdin)
	if err != nil {
		e.group.End(false)
		return nil, err
	}
	pidfd := -1
	attr := &syscall.ProcAttr{Dir: dir, Env: spec.Env, Files: files[:], Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}}
	e.group.Join(attr.Sys)
	launched := place.Launch(func() {
		var path string
		if path, err = lookup(spec.Argv[0], spec.Env); err != nil {
			return
		}
		e.born = time.Now()
		e.pid, err = syscall.ForkExec(path, spec.Argv, attr)
	})
	for _, fd := range files {
		unix.Close(int(fd))
	}
	if launched != nil {
		e.abandon()
		return nil, launched
	}
	if err != nil {
		return e.refuse(spec.Argv[0], err, ended)
	}
	e.group.Joined(e.pid)
	e.Pid = namespacePid(pidfd, e.pid)
	e.running = true
	unix.SetNonblock(pidfd, true)
	var limit *time.Timer
	if spec.Timeout > 0 {
		limit = time.AfterFunc(spec.Timeout, e.expire)
	}
	e.readers.Add(streams)
	for i := range e.out {
		go e.collect(&e.out[i])
	}
	go e.wait(os.NewFile(uintptr(pidfd), "pidfd"), limit, ended)
	return e, nil
}

const pipeSize = 256 << 10

// open makes the pipes of a command and returns the command's ends.
func (e *Exec) open(stdin bool) (files [3]uintptr, err error) {
	var theirs []int
	var ours []*os.File
	defer func() {
		if err != nil {
			for _, fd := range theirs {
				unix.Close(fd)
			}
			for _, f := range ours {
				f.Close()
			}
		}
	}()
	pipe := func(mine, other int) (*os.File, error) {
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			return nil, err
		}
		// Fewer turns between writer and reader; a system that refuses keeps its default.
		unix.FcntlInt(uintptr(ends[mine]), unix.F_SETPIPE_SZ, pipeSize)
		unix.SetNonblock(ends[mine], true)
		f := os.NewFile(uintptr(ends[mine]), "pipe")
		ours, theirs = append(ours, f), append(theirs, ends[other])
		return f, nil
	}
	if stdin {
		if e.stdin, err = pipe(1, 0); err != nil {
			return files, err
		}
	} else {
		null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return files, err
		}
		theirs = append(theirs, null)
	}
	for i := range e.out {
		if e.out[i].pipe, err = pipe(0, 1); err != nil {
			return files, err
		}
		e.out[i].fd = int(e.out[i].pipe.Fd())
	}
	for i, fd := range theirs {
		files[i] = uintptr(fd)
	}
	return files, nil
}

// refuse makes an exec that has ended of a command that could not begin.
func (e *Exec) refuse(name string, cause error, ended func(*Exec)) (*Exec, error) {
	e.abandon()
	exit := Exit{}
	switch {
	case errors.Is(cause, unix.ENOENT), errors.Is(cause, unix.ENOTDIR):
		exit.Code = codeNotFound
		e.out[Stderr].force(fmt.Appendf(nil, "pyro: %s: not found\n", name))
	case errors.Is(cause, unix.EAGAIN), errors.Is(cause, unix.ENOMEM), errors.Is(cause, unix.EMFILE), errors.Is(cause, unix.ENFILE):
		return nil, cause
	default:
		exit.Code = codeNotExecutable
		e.out[Stderr].force(fmt.Appendf(nil, "pyro: %s: %s\n", name, cause))
	}
	e.exit = &exit
	ended(e)
	return e, nil
}

// abandon lets go of what was opened for a command that did not begin.
func (e *Exec) abandon() {
	e.group.End(false)
	if e.stdin != nil {
		e.stdin.Close()
	}
	for i := range e.out {
		e.out[i].pipe.Close()
	}
}

// lookup finds a command in PATH. It runs where the command will run.
func lookup(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	var failed error = unix.ENOENT
	var path string
	for _, variable := range env {
		if value, found := strings.CutPrefix(variable, "PATH="); found {
			path = value
		}
	}
	for dir := range strings.SplitSeq(path, ":") {
		if !strings.HasPrefix(dir, "/") || name == "" {
			continue
		}
		var st unix.Stat_t
		file := dir + "/" + name
		if unix.Stat(file, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		if st.Mode&0o111 != 0 {
			return file, nil
		}
		failed = unix.EACCES
	}
	return "", failed
}

// namespacePid is what a process is called in its own PID namespace.
func namespacePid(pidfd, pid int) int {
	fd, err := unix.Open("/proc/self/fdinfo/"+strconv.Itoa(pidfd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return pid
	}
	defer unix.Close(fd)
	var buffer [256]byte
	n, _ := unix.Read(fd, buffer[:])
	if _, line, found := bytes.Cut(buffer[:max(n, 0)], []byte("NSpid:")); found {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		if fields := bytes.Fields(line); len(fields) > 0 {
			if inner, err := strconv.Atoi(string(fields[len(fields)-1])); err == nil {
				return inner
			}
		}
	}
	return pid
}
