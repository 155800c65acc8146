// Command pyro-agent is the guest's PID 1. As `pyro-agent serve` it is an
// ordinary process that serves a directory of the host.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"pyro/native/internal/boot"
	"pyro/native/internal/channel"
	"pyro/native/internal/service"
	"pyro/native/internal/unconfined"
	"pyro/native/internal/workload"
)

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
		fmt.Fprintln(os.Stderr, "usage: pyro-agent --version | serve --socket PATH --root DIR")
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

// serve runs until stdin ends.
func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	socket := flags.String("socket", "", "path of the Unix socket to listen on")
	root := flags.String("root", "", "directory that stands for the guest's root")
	flags.Parse(args)
	if *socket == "" || *root == "" {
		return fmt.Errorf("--socket and --root are needed")
	}
	machine, err := unconfined.New(*root)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	defer machine.Shutdown()
	go channel.ServeListener(listener, service.New(build, machine).Session())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
