package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const asProgram = "PYRO_HOST_UNDER_TEST"

// TestMain lets the test binary be the program, so that tests use the real one.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// host is a running pyro-host.
type host struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	events *bufio.Reader
	stderr bytes.Buffer
}

type object map[string]any

func start(t *testing.T, args ...string) *host {
	t.Helper()
	return startAs(t, os.Args[0], os.Getuid(), args...)
}

// startAs runs program, a copy of the test binary, as another user.
func startAs(t *testing.T, program string, user int, args ...string) *host {
	t.Helper()
	h := &host{t: t, cmd: exec.Command(program, args...)}
	if user != os.Getuid() {
		id := uint32(user)
		h.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	}
	h.cmd.Env = append(os.Environ(), asProgram+"=1", "SECRET=hunter2")
	h.cmd.Stderr = &h.stderr
	// As an owner does that is careless with its descriptors.
	leak, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	h.cmd.ExtraFiles = []*os.File{leak}
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.events = bufio.NewReader(stdout)
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.stdin.Close()
		h.cmd.Wait()
	})
	return h
}

func (h *host) send(v any) {
	h.t.Helper()
	line, err := json.Marshal(v)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.stdin.Write(append(line, '\n')); err != nil {
		h.t.Fatal(err)
	}
}

// next is the next event, nil at the end.
func (h *host) next() object {
	h.t.Helper()
	line, err := h.events.ReadBytes('\n')
	if err == io.EOF && len(line) == 0 {
		return nil
	}
	if err != nil {
		h.t.Fatalf("%v after %q", err, line)
	}
	var event object
	if err := json.Unmarshal(line, &event); err != nil {
		h.t.Fatalf("%q: %v", line, err)
	}
	return event
}

// want reads up to the event of that name; an error event is fatal unless wanted.
func (h *host) want(name string) object {
	h.t.Helper()
	for {
		event := h.next()
		if event == nil {
			h.t.Fatalf("ended without %q: %s", name, h.stderr.String())
		}
		if event["event"] == name {
			return event
		}
		if event["event"] == "error" {
			h.t.Fatalf("error instead of %q: %v", name, event)
		}
	}
}

// end waits for the program's end and returns its exit code.
func (h *host) end() int {
	h.t.Helper()
	h.stdin.Close()
	io.Copy(io.Discard, h.events)
	h.cmd.Wait()
	return h.cmd.ProcessState.ExitCode()
}

func (h *host) wantError(code string) object {
	h.t.Helper()
	event := h.want("error")
	if event["code"] != code {
		h.t.Errorf("code %q, want %q: %v", event["code"], code, event["message"])
	}
	if exit := h.end(); exit != 1 {
		h.t.Errorf("exit code %d, want 1", exit)
	}
	return event
}

// process is somebody else's process, to wait for.
type process struct {
	t  *testing.T
	fd int
}

// ended stands for a process that was gone before we could follow it.
const ended = -1

func follow(t *testing.T, pid int) process {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return process{t, ended}
	}
	if err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return process{t, fd}
}

func (p process) wantEnd() {
	p.t.Helper()
	for p.fd != ended {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, 10_000)
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			p.t.Fatalf("the process still lives (%v)", err)
		}
		return
	}
}

func wantGone(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there (%v)", path, err)
		}
	}
}
