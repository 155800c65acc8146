package monitor

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/event"
)

// passPatience bounds a pass, whatever the VMM does.
const passPatience = 10 * time.Second

// pass opens the file that a command names and gives the running VMM its
// descriptor, over a QMP socket of the VMM: a confined VMM can open nothing by
// itself.
func pass(sockets string, c command) error {
	if !isName(c.Socket) {
		return event.Errorf("invalid_command", "pass: %q is no name of a socket", c.Socket)
	}
	flags := os.O_RDONLY
	if c.Write {
		flags = os.O_RDWR
	}
	// A FIFO would hold us up until somebody opens its other end.
	file, err := os.OpenFile(c.Path, flags|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &os.PathError{Op: "pass", Path: c.Path, Err: errors.New("not a regular file")}
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(sockets, c.Socket), Net: "unix"})
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(passPatience))
	return addFd(&qmp{conn, bufio.NewReader(conn)}, int(file.Fd()), c.Fdset)
}

// addFd is QMP's add-fd: the descriptor comes with the request's own bytes.
func addFd(q *qmp, fd, fdset int) error {
	if err := q.call(nil, "qmp_capabilities", nil); err != nil {
		return err
	}
	return q.call(unix.UnixRights(fd), "add-fd", map[string]any{"fdset-id": fdset})
}

// qmp is a connection to QEMU's QMP server.
type qmp struct {
	conn   *net.UnixConn
	reader *bufio.Reader
}

type qmpReply struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
}

// call sends a request and waits for its answer; greeting and events come in between.
func (q *qmp) call(rights []byte, name string, arguments any) error {
	request := map[string]any{"execute": name}
	if arguments != nil {
		request["arguments"] = arguments
	}
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, _, err := q.conn.WriteMsgUnix(append(line, '\n'), rights, nil); err != nil {
		return err
	}
	for {
		line, err := readLine(q.reader)
		if err != nil {
			return err
		}
		var reply qmpReply
		if err := json.Unmarshal(line, &reply); err != nil {
			return err
		}
		switch {
		case reply.Error != nil:
			return event.Errorf("refused", "the VMM refused %s: %s", name, reply.Error.Desc)
		case reply.Return != nil:
			return nil
		}
	}
}
