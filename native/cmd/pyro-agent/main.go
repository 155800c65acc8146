// Command pyro-agent is the guest's PID 1. As `pyro-agent serve` it is an
// ordinary process that serves a directory of the host.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/boot"
	"pyro/native/internal/channel"
	"pyro/native/internal/service"
	"pyro/native/internal/unconfined"
	"pyro/native/internal/workload"
)

// The parent-death signal is a setting of each thread, and the kernel sends
// that of any: serve changes the one that its parent set, which is the main thread's.
func init() {
	if os.Getpid() != 1 {
		runtime.LockOSThread()
	}
}

// build is set by the linker.
var build = "dev"

const (
	portName  = "pyro.control"
	vsockPort = 5005
)

func main() {
	switch {
	case os.Args[0] == workload.InitName:
		workload.Init()
	case os.Getpid() == 1:
		guest()
	case len(os.Args) == 2 && os.Args[1] == "--version":
		fmt.Println(build)
	case len(os.Args) > 1 && os.Args[1] == "serve":
		if err := serve(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "pyro-agent:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: pyro-agent --version | serve (--socket PATH | --listen FD) --root DIR")
		os.Exit(2)
	}
}

// guest never returns: the end of PID 1 is the end of the machine.
func guest() {
	boot.Machine()
	session := service.New(build, workload.New()).Session()
	channels := boot.FindChannels(portName)
	if channels.Vsock {
		go retry("vsock", func() error { return channel.ListenVsock(vsockPort, session) })
	}
	if channels.Port != "" {
		go retry(channels.Port, func() error {
			port, err := channel.OpenVirtio(channels.Port)
			if err != nil {
				return err
			}
			defer port.Close()
			return channel.Serve(port, session)
		})
	}
	fmt.Println("pyro-agent ready")
	select {}
}

// retry keeps a channel served.
func retry(name string, serve func() error) {
	for {
		fmt.Fprintf(os.Stderr, "pyro-agent: %s: %v\n", name, serve())
		time.Sleep(100 * time.Millisecond)
	}
}

// serve runs until stdin ends, or with an inherited socket until SIGTERM: then
// whoever made that socket watches over us, and our stdin says nothing.
func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	socket := flags.String("socket", "", "path of the Unix socket to listen on")
	inherited := flags.Int("listen", -1, "descriptor of the socket that listens, instead of --socket")
	root := flags.String("root", "", "directory that stands for the guest's root")
	flags.Parse(args)
	if (*socket == "") == (*inherited < 0) || *root == "" {
		return fmt.Errorf("--root and one of --socket and --listen are needed")
	}
	machine, err := unconfined.New(*root)
	if err != nil {
		return err
	}
	listener, err := listen(*socket, *inherited)
	if err != nil {
		return err
	}
	defer listener.Close()
	defer machine.Shutdown()
	// A parent that is killed would take us with it by SIGKILL, and leave what runs here to nobody.
	unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0)
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM)
	go channel.ServeListener(listener, service.New(build, machine).Session())
	if *inherited < 0 {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			end <- unix.SIGTERM
		}()
	}
	<-end
	return nil
}

func listen(socket string, inherited int) (net.Listener, error) {
	if inherited < 0 {
		return net.Listen("unix", socket)
	}
	file := os.NewFile(uintptr(inherited), "listening socket")
	defer file.Close()
	unix.CloseOnExec(inherited)
	return net.FileListener(file)
}
