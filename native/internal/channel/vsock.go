package channel

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ListenVsock serves every connection of the host to a vsock port of this
// machine, and none from within. It returns only when it cannot listen.
func ListenVsock(port uint32, session func(net.Conn)) error {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	listener := os.NewFile(uintptr(fd), "vsock")
	defer listener.Close()
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 16); err != nil {
		return err
	}
	raw, err := listener.SyscallConn()
	if err != nil {
		return err
	}
	for {
		conn, err := accept(raw)
		if err != nil {
			return err
		}
		go serveSocket(conn, session)
	}
}

func accept(raw syscall.RawConn) (conn *os.File, err error) {
	wait := raw.Read(func(fd uintptr) bool {
		for {
			var peer int
			var from unix.Sockaddr
			peer, from, err = unix.Accept4(int(fd), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			switch {
			case err == unix.EINTR || err == unix.ECONNABORTED:
			case err == unix.EAGAIN:
				return false
			case err != nil:
				return true
			case !isHost(from):
				unix.Close(peer)
			default:
				conn = os.NewFile(uintptr(peer), "vsock connection")
				return true
			}
		}
	})
	return conn, errors.Join(wait, err)
}

func isHost(from unix.Sockaddr) bool {
	address, ok := from.(*unix.SockaddrVM)
	return ok && address.CID == unix.VMADDR_CID_HOST
}

// ServeListener serves every connection of a listener until it is closed.
func ServeListener(listener net.Listener, session func(net.Conn)) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go serveSocket(conn, session)
	}
}

type socket interface {
	Port
	Close() error
}

func serveSocket(conn socket, session func(net.Conn)) {
	defer conn.Close()
	Serve(conn, session)
}
