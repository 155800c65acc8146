package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// serveQMP takes one connection on the socket that a machine listens on, as QEMU would, and answers add-fd.
// It gives what it read from the descriptor that came along.
func serveQMP(t *testing.T, listener *net.UnixListener, answer string) <-chan string {
	content := make(chan string, 1)
	go func() {
		defer close(content)
		conn, err := listener.AcceptUnix()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintln(conn, `{"QMP": {}}`)
		if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
			return
		}
		fmt.Fprintln(conn, `{"return": {}}`)
		data, rights := make([]byte, 4096), make([]byte, 4096)
		n, m, _, _, err := conn.ReadMsgUnix(data, rights)
		if err != nil || !strings.Contains(string(data[:n]), `"fdset-id":7`) {
			return
		}
		messages, _ := unix.ParseSocketControlMessage(rights[:m])
		for _, message := range messages {
			fds, _ := unix.ParseUnixRights(&message)
			for _, fd := range fds {
				n, _ := unix.Read(fd, data)
				content <- string(data[:n])
				unix.Close(fd)
			}
		}
		fmt.Fprintln(conn, `{"event": "OTHER"}`)
		fmt.Fprintln(conn, answer)
	}()
	return content
}

// passing is a running machine and a QMP server in its place.
func passing(t *testing.T) (*host, *net.UnixListener) {
	t.Helper()
	spec := machine(t, forever)
	h, _ := boot(t, spec)
	path := filepath.Join(spec["sockets"].(string), "files")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return h, listener
}

func TestAFileIsPassedIntoTheRunningVMM(t *testing.T) {
	h, listener := passing(t)
	seed := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(seed, []byte("content"), 0o400); err != nil {
		t.Fatal(err)
	}
	command := object{"command": "pass", "path": seed, "write": false, "socket": "files", "fdset": 7}
	content := serveQMP(t, listener, `{"return": {"fd": 9}}`)
	h.send(command)
	h.want("passed")
	if got := <-content; got != "content" {
		t.Errorf("%q", got)
	}
	serveQMP(t, listener, `{"error": {"class": "GenericError", "desc": "out of luck"}}`)
	h.send(command)
	if event := h.want("error"); event["code"] != "refused" || !strings.Contains(event["message"].(string), "out of luck") {
		t.Errorf("%v", event)
	}
}

func TestAPassThatCannotBeIsRefusedAndEndsNothing(t *testing.T) {
	h, listener := passing(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for code, change := range map[string]object{
		"not_found":       {"path": "/nonexistent"},
		"failed":          {"path": fifo},
		"invalid_command": {"socket": "../files"},
		"not_found ":      {"socket": "nonexistent"},
	} {
		command := object{"command": "pass", "path": "/etc/passwd", "socket": "files", "fdset": 7}
		for name, value := range change {
			command[name] = value
		}
		h.send(command)
		if event := h.want("error"); event["code"] != strings.TrimSpace(code) {
			t.Errorf("%v, want %s", event, code)
		}
	}
	listener.Close()
	h.send(object{"command": "console"})
	h.want("console")
}
